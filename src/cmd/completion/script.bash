# Completion of kubectl-podlife and of kubectl podlife, for bash 4 and later.

# Offers what may come next. The arguments are the words behind the program; the last one is being typed.
__podlife_offer() {
    local output directive line last="${!#}"
    COMPREPLY=()
    output=$(kubectl-podlife __complete "$@" 2>/dev/null) || return
    directive=${output##*:}
    # Readline replaces what stands behind the last = or : alone.
    local kept=${last%"${last##*[=:]}"}
    while IFS= read -r line; do
        line=${line%%$'\t'*}
        [[ $line == :* || -z $line ]] || COMPREPLY+=("${line#"$kept"}")
    done <<<"$output"
    if ((${#COMPREPLY[@]} == 0 && directive == 0)); then
        compopt -o default
    elif ((directive == 16)); then
        compopt -o dirnames
    elif ((directive & 2)); then
        compopt -o nospace
    fi
}

# The words of the line up to the cursor, as a shell has them before = and : part them.
__podlife_words() {
    local line=${COMP_LINE:0:COMP_POINT}
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
}

__podlife() {
    local words
    __podlife_words
    __podlife_offer "${words[@]:1}"
}

# Completes kubectl podlife, and leaves anything else to what completed kubectl before.
__podlife_of_kubectl() {
    local words
    __podlife_words
    if [[ ${words[1]} == podlife ]] && ((${#words[@]} > 2)); then
        __podlife_offer "${words[@]:2}"
        return
    fi
    if [[ -z $__podlife_before ]] && declare -F _completion_loader >/dev/null; then
        _completion_loader kubectl
        __podlife_register
    fi
    [[ -z $__podlife_before ]] || "$__podlife_before" "$@"
}

__podlife_register() {
    local before
    before=$(complete -p kubectl 2>/dev/null)
    before=${before##*-F }
    before=${before%% *}
    [[ $before == __podlife_of_kubectl || $before == _minimal ]] || __podlife_before=$before
    complete -o default -F __podlife_of_kubectl kubectl
}

complete -F __podlife kubectl-podlife
__podlife_register
