//! Command lines as they stand in pods.

use super::*;

fn shown(command: &[&str], ports: &[u16]) -> Vec<String> {
    let words: Vec<String> = command.iter().map(|w| (*w).to_owned()).collect();
    of_words(&words, ports).iter().map(Told::shown).collect()
}

#[test]
fn commands_that_listen() {
    let mut wrong = Vec::new();
    for (command, expected) in [
        ("uvicorn app:app --host 127.0.0.1 --port 8080", "Uvicorn 127.0.0.1:8080"),
        ("uvicorn app:app --host=0.0.0.0", "Uvicorn 0.0.0.0"),
        ("uvicorn app:app", "Uvicorn 127.0.0.1:8000"),
        ("uvicorn app:app --port 9000", "Uvicorn 127.0.0.1:9000"),
        ("python -m uvicorn app:app --host localhost", "Uvicorn 127.0.0.1"),
        ("poetry run uvicorn app:app", "Uvicorn 127.0.0.1:8000"),
        ("tini -- gosu app uvicorn app:app --host ::", "Uvicorn ::"),
        ("gunicorn -b 127.0.0.1:8000 app:app", "Gunicorn 127.0.0.1:8000"),
        ("gunicorn -b127.0.0.1:8000 app:app", "Gunicorn 127.0.0.1:8000"),
        ("gunicorn --bind=0.0.0.0:8000 app:app", "Gunicorn 0.0.0.0:8000"),
        ("gunicorn --bind unix:/run/app.sock app:app", ""),
        ("gunicorn -b 127.0.0.1:8000 -b 10.0.0.5:8000 app:app", "Gunicorn 10.0.0.5:8000"),
        ("uvicorn app:app --uds /run/app.sock", ""),
        ("uvicorn app:app --host $(HOSTNAME)", ""),
        ("hypercorn -c hypercorn.toml app:app", "Hypercorn 127.0.0.1:8000?"),
        ("tensorboard --logdir /logs --bind_all --port 6006", "TensorBoard [::]:6006"),
        ("mongod --bind_ip_all", "MongoDB ::"),
        ("redis-server --bind 127.0.0.1 10.0.0.5 --port 6379", "Redis 10.0.0.5:6379"),
        ("redis-server --bind 127.0.0.1 -::1", "Redis 127.0.0.1"),
        ("gunicorn app:app", "Gunicorn 127.0.0.1:8000?"),
        ("flask run", "Flask 127.0.0.1:5000"),
        ("flask run -h 0.0.0.0 -p 80", "Flask 0.0.0.0:80"),
        ("flask db upgrade", ""),
        ("python manage.py runserver", "Django's development server 127.0.0.1:8000"),
        ("python manage.py runserver 8080", "Django's development server 127.0.0.1:8080"),
        (
            "./manage.py runserver 0:8000 --noreload",
            "Django's development server 0.0.0.0:8000",
        ),
        ("python manage.py migrate", ""),
        ("python -m http.server --bind 127.0.0.1 8000", "Python's http.server 127.0.0.1"),
        ("python3 -m http.server 8000", "Python's http.server port 8000"),
        (
            "streamlit run app.py --server.address=localhost --server.port=8501",
            "Streamlit 127.0.0.1:8501",
        ),
        ("jupyter lab --ip=127.0.0.1 --port=8888", "Jupyter 127.0.0.1:8888"),
        ("npx vite", "Vite 127.0.0.1:5173?"),
        ("npx vite --host", "Vite ::"),
        ("npm run dev -- --host --port 5173", "[::]:5173"),
        ("npm run dev -- --host 127.0.0.1", "127.0.0.1?"),
        ("node_modules/.bin/next start -H 127.0.0.1 -p 3000", "Next.js 127.0.0.1:3000"),
        ("bundle exec puma -b tcp://127.0.0.1:3000", "Puma 127.0.0.1:3000"),
        ("bin/rails server -b 127.0.0.1 -p 3000", "Rails 127.0.0.1:3000"),
        ("php -S localhost:8000 -t public", "PHP's development server 127.0.0.1:8000"),
        (
            "php artisan serve --host=127.0.0.1 --port=8000",
            "Laravel's development server 127.0.0.1:8000",
        ),
        ("java -Dserver.address=127.0.0.1 -Dserver.port=8080 -jar app.jar", "127.0.0.1:8080"),
        ("java -jar app.jar --server.port=9090 --server.address=127.0.0.1", "127.0.0.1:9090"),
        (
            "dotnet app.dll --urls http://localhost:5000;https://localhost:5001",
            "127.0.0.1:5000 127.0.0.1:5001",
        ),
        ("redis-server --bind 127.0.0.1 --port 6379", "Redis 127.0.0.1:6379"),
        ("redis-server /etc/redis.conf --port 6380", "Redis port 6380"),
        ("postgres -c listen_addresses=localhost -c port=5432", "PostgreSQL 127.0.0.1:5432"),
        ("mysqld --bind-address=127.0.0.1", "MySQL 127.0.0.1"),
        ("mongod --bind_ip 127.0.0.1,10.0.0.5", "MongoDB 10.0.0.5"),
        ("mongod --bind_ip localhost,mongo-0.mongo", ""),
        ("memcached -l 127.0.0.1 -p 11211", "Memcached 127.0.0.1:11211"),
        ("prometheus --web.listen-address=127.0.0.1:9090", "Prometheus 127.0.0.1:9090"),
        ("busybox httpd -f -p 127.0.0.1:8080", "BusyBox httpd 127.0.0.1:8080"),
        ("httpd -f -p 8080", "BusyBox httpd port 8080"),
        ("nc -lk -s 127.0.0.1 -p 8080", "netcat 127.0.0.1:8080"),
        ("/server -addr=127.0.0.1:8080", "127.0.0.1:8080"),
        ("/server --listen localhost:9999", "127.0.0.1:9999"),
        ("/server --host localhost --port 8080", "127.0.0.1:8080"),
        ("/server --host localhost --port 1234", "127.0.0.1:1234?"),
        (
            "/manager --metrics-bind-address=127.0.0.1:8443 --health-probe-bind-address=:8081",
            "127.0.0.1:8443 port 8081",
        ),
        ("/server --metrics-bind-address 127.0.0.1 --port 8080", "127.0.0.1 port 8080"),
        ("--host 127.0.0.1 --port 8080", "127.0.0.1:8080"),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let said = shown(&words, &[8080]).join(" ");
        wrong.extend((said != expected).then(|| format!("{said:?}, not {expected:?}: {command}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn shells_are_looked_into() {
    let mut wrong = Vec::new();
    for (script, expected) in [
        ("exec uvicorn app:app --host 127.0.0.1 --port 8000", "Uvicorn 127.0.0.1:8000"),
        ("alembic upgrade head && uvicorn app:app", "Uvicorn 127.0.0.1:8000"),
        (
            "until nc -z db 5432; do sleep 1; done; exec gunicorn -b '127.0.0.1:8000' app",
            "Gunicorn 127.0.0.1:8000",
        ),
        ("HOST=127.0.0.1 PORT=3000 node server.js", "127.0.0.1:3000?"),
        ("export BIND_ADDR=127.0.0.1:8080\n/server", "127.0.0.1:8080"),
        ("psql --host localhost -c 'select 1'; curl http://127.0.0.1:8080/", ""),
        ("echo 'uvicorn --host 127.0.0.1'", ""),
        ("mkdir /w; exec httpd -f -p 127.0.0.1:8080 -h /w", "BusyBox httpd 127.0.0.1:8080"),
    ] {
        let said = shown(&["sh", "-c", script], &[]).join(" ");
        wrong.extend((said != expected).then(|| format!("{said:?}, not {expected:?}: {script}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn options_that_name_another_end() {
    let mut wrong = Vec::new();
    for command in [
        "/app --db-host localhost",
        "/app --redis-host=127.0.0.1 --redis-port 6379",
        "/app --upstream 127.0.0.1:9000",
        "/app --backend=http://127.0.0.1:9000",
        "/app --database-url postgres://localhost/db",
        "/app --advertise-address 127.0.0.1",
        "/app --target http://localhost:8080",
        "pg_isready --host localhost --port 5432",
        "mysql --host 127.0.0.1",
        "redis-cli -h 127.0.0.1 ping",
        "nc -z 127.0.0.1 8080",
        "kubectl get pods",
        "celery -A app worker -b redis://localhost:6379/0",
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let said = shown(&words, &[8080]);
        wrong.extend((!said.is_empty()).then(|| format!("{said:?}: {command}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_server_is_alone_where_nothing_else_may_listen() {
    let is_one = |command: &[&str]| is_one_server(&command.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
    for alone in [
        "mkdir /w; exec httpd -f -p 9090 -h /w",
        "set -e; cd /app && until nc -z db 5432; do sleep 1; done; A=1 exec gunicorn -b :9090 app",
        "while true; do echo well | nc -l -p 9090; done",
        "exec python3 -m http.server 9090",
    ] {
        assert!(is_one(&["sh", "-c", alone]), "{alone}");
    }
    assert!(is_one(&["busybox", "httpd", "-f", "-p", "9090"]));
    for open in [
        "httpd -p 9090 -h /w; sleep 20; exec /server",
        "httpd -p 9090 -h /w & exec httpd -f -p 8080 -h /w",
        "/server --port 9090",
        "sleep 3600",
        "$COMMAND",
        "",
    ] {
        assert!(!is_one(&["sh", "-c", open]), "{open}");
    }
    assert!(!is_one(&["/server", "--port", "9090"]) && !is_one(&["sh", "/start.sh"]) && !is_one(&[]));
}
