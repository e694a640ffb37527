# bash completion for escadm. The commands and options below were read from the program when the package was built; the
# resources' names come from what the agent publishes, or from the configuration where there is no agent.

_escadm_resources() {
    local root=${ESCADM_ROOT%/} name='[A-Za-z0-9_.@-]\{1,\}'
    local published=$root/run/escadm/status.json file=$root/opt/cisco/esc/esc-config/esc-config.yaml
    if [[ -r $published ]]; then
        sed -n "s/^ *\"name\": \"\($name\)\",*$/\1/p" "$published"
    else
        echo "@CATALOGUE@"
        [[ ! -r $file ]] || sed -n "/^resources:/,/^[^ #]/s/^  \($name\):.*/\1/p" "$file"
    fi
} 2>/dev/null

_escadm_files() {
    mapfile -t COMPREPLY < <(compgen -f -- "$1")
    compopt -o filenames 2>/dev/null || :
}

# sets commands, options and arguments for the command in $1
_escadm_table() {
    commands= options= arguments=
    case $1 in
@TABLE@
    esac
}

_escadm() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} path= i commands options arguments
    local values=' @VALUES@ '
    [[ $word != '=' ]] || word=
    if [[ $before == '=' ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}; fi
    if [[ ${COMP_WORDS[COMP_CWORD]} == '=' ]]; then before=${COMP_WORDS[COMP_CWORD - 1]}; fi
    _escadm_table ''
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ $values == *" ${COMP_WORDS[i]} "* ]]; then
            [[ ${COMP_WORDS[i + 1]} != '=' ]] || ((i++))
            ((i++))
        elif [[ " $commands " == *" ${COMP_WORDS[i]} "* ]]; then
            path=${path:+$path }${COMP_WORDS[i]}
            _escadm_table "$path"
        fi
    done
    COMPREPLY=()
    case $before in
    @PATHS@)
        _escadm_files "$word"
        return
        ;;
    --kad_vif | --kad-vif)
        mapfile -t COMPREPLY < <(cd /sys/class/net 2>/dev/null && compgen -f -- "$word")
        return
        ;;
    esac
    [[ $values != *" $before "* ]] || return 0
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        return
    fi
    case $arguments in
    resources) mapfile -t COMPREPLY < <(compgen -W "$(_escadm_resources)" -- "$word") ;;
    file) _escadm_files "$word" ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word") ;;
    esac
}

complete -F _escadm escadm
