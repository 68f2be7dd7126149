# Completion of kubectl-podlife and of kubectl podlife, for fish.

# Prints what may come next. The argument is the number of words before those of podlife.
function __podlife_offer
    set -l words (commandline -opc)
    set -e words[1..$argv[1]]
    set -l lines (kubectl-podlife __complete $words (commandline -ct) 2>/dev/null)
    for line in $lines
        string match -q ':*' -- $line; or echo $line
    end
    if contains -- :0 $lines; and test (count $lines) -eq 1
        __fish_complete_path (commandline -ct)
    else if contains -- :16 $lines
        __fish_complete_directories (commandline -ct)
    end
end

function __podlife_is_plugin
    set -l words (commandline -opc)
    test (count $words) -ge 2; and test $words[2] = podlife
end

complete -c kubectl-podlife -f -a '(__podlife_offer 1)'
complete -c kubectl -n __podlife_is_plugin -f -a '(__podlife_offer 2)'
