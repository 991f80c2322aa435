# Completion of downlease for bash. In ~/.bashrc:  source <(downlease completion bash)
_downlease_completion() {
  local line=${COMP_LINE:0:COMP_POINT} directive=0 word words current
  # COMP_WORDS is no use: bash also splits words at the colons of a URL.
  read -r -a words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  current=${words[${#words[@]} - 1]}
  current=${current##*[=:]}
  COMPREPLY=()
  # Text from a server is never evaluated or expanded.
  while IFS= read -r word; do
    case $word in
      :[0-9]*) directive=${word#:} ;;
      *)
        word=${word%%$'\t'*}
        [[ -n $word && $word == "$current"* ]] && COMPREPLY+=("$word")
        ;;
    esac
  done < <(downlease complete -- "${words[@]:1}" 2> /dev/null)
  # 4: do not complete file names.
  if ((directive & 4)); then compopt +o default 2> /dev/null; fi
}
complete -o default -F _downlease_completion downlease
