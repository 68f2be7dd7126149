module podlife.test/app

go 1.24.0
