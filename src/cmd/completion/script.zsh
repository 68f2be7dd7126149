#compdef kubectl-podlife
# Completion of kubectl-podlife and of kubectl podlife, for zsh.

# Offers what may come next. The arguments are the words behind the program; the last one is being typed.
__podlife_offer() {
    local -a lines offers
    local line directive word
    lines=("${(@f)$(kubectl-podlife __complete "$@" 2>/dev/null)}")
    directive=${lines[-1]#:}
    lines[-1]=()
    for line in "${lines[@]}"; do
        word=${line%%$'\t'*}
        word=${word//:/\\:}
        [[ $line == *$'\t'* ]] && word="$word:${line#*$'\t'}"
        offers+=("$word")
    done
    if (( ${#offers} )); then
        if (( directive & 2 )); then
            _describe podlife offers -S ''
        else
            _describe podlife offers
        fi
    elif [[ $directive == 0 ]]; then
        _files
    elif [[ $directive == 16 ]]; then
        _files -/
    fi
}

__podlife() {
    __podlife_offer "${(@)words[2,CURRENT]}"
}

# Completes kubectl podlife, and leaves anything else to what completed kubectl before.
__podlife_of_kubectl() {
    if [[ ${words[2]} == podlife ]] && (( CURRENT > 2 )); then
        __podlife_offer "${(@)words[3,CURRENT]}"
    elif [[ -n $__podlife_before ]]; then
        $__podlife_before "$@"
    fi
}

if [[ ${_comps[kubectl]} != __podlife_of_kubectl ]]; then
    __podlife_before=${_comps[kubectl]}
fi
compdef __podlife kubectl-podlife
compdef __podlife_of_kubectl kubectl
