# Completions of tidemark for bash; below share/bash-completion/completions they are loaded by themselves.

# Words that may follow, by the commands before; "" are those of every place.
_tidemark_words() {
  case $1 in
    '') echo 'run migrate validate config status offsets parked recount replay verify rebuild derive drift doctor' ;;
    migrate) echo '--run-role --print-grants --check --indexes' ;;
    validate) echo '--offline' ;;
    config) echo 'show schema' ;;
    status) echo '--json --watch --interval' ;;
    doctor) echo '--json' ;;
    offsets) echo 'show reset' ;;
    'offsets reset') echo '--topic --partition --to --yes' ;;
    parked) echo 'list show replay drop' ;;
    'parked list') echo '--topic --limit' ;;
    'parked replay') echo '--topic --partition --from --to --code' ;;
    'parked drop') echo '--topic --partition --from --to --code --yes' ;;
    recount) echo '--aggregate --keys --full' ;;
    derive) echo '--rule --since-block --users --all' ;;
    rebuild) echo '--into --restart --incomplete --yes' ;;
    verify) echo '--aggregate --patience --json' ;;
    replay) echo '--topic --from --restart' ;;
    drift) echo 'list' ;;
    'drift list') echo '--limit --json' ;;
  esac
}

_tidemark() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} commands='' word i words
  COMPREPLY=()
  case $previous in
    -c | --config) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --log-level) mapfile -t COMPREPLY < <(compgen -W 'trace debug info warn error' -- "$current"); return ;;
    --to) mapfile -t COMPREPLY < <(compgen -W 'earliest' -- "$current"); return ;;
    --from) mapfile -t COMPREPLY < <(compgen -W 'beginning' -- "$current"); return ;;
    --run-role | --topic | --partition | --limit | --aggregate | --keys | --patience | --into | \
      --rule | --since-block | --users | --code | --interval) return ;;
  esac
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      -c | --config | --log-level | --run-role | --topic | --partition | --to | --limit | --aggregate | --keys | \
        --patience | --into | --from | --rule | --since-block | --users | --code | --interval) ((i++)) ;;
      -*) ;;
      *) commands+=${commands:+ }$word ;;
    esac
  done
  words="$(_tidemark_words "$commands") --config --log-level --help --version"
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _tidemark tidemark
