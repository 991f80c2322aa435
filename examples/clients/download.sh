#!/bin/sh
# Downloads the files of a library item with curl: creates a download session, has each file prepared, reads it from its
# link, which wants no credentials, and goes on where it stopped when the connection breaks.
#
#   download.sh http://USER:PASSWORD@HOST:PORT ITEM_ID DIRECTORY
set -eu
item=$1/rest/com/vmware/content/library/item
mkdir -p "$3"
cd "$3"

ask() { curl -sSf -H 'Content-Type: application/json' "$@"; }
# Gives the texts of a field of a JSON answer.
field() { grep -oE "\"$1\":\"[^\"]*" | cut -d '"' -f 4; }

session=$(ask "$item/download-session" -d "{\"create_spec\": {\"library_item_id\": \"$2\"}}" | field value)
file() { ask "$item/downloadsession/file/id:$session?~action=$1" -d "{\"file_name\": \"$2\"}"; }

ask "$item/downloadsession/file?download_session_id=$session" | field name | while read -r name; do
  info=$(file prepare "$name")
  while link=$(echo "$info" | field uri) && [ -z "$link" ]; do
    case $info in *'"status":"ERROR"'*) echo "$info" >&2 && exit 1 ;; esac
    sleep 0.2
    info=$(file get "$name")
  done
  tries=5
  until curl -sSf -C - -o "$name" "$link"; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || exit 1
    sleep 0.2
  done
  # A large file can be read before its checksums are known.
  until checksum=$(echo "$info" | field checksum | head -n 1) && [ -n "$checksum" ]; do
    sleep 0.2
    info=$(file get "$name")
    case $info in *'"status":"ERROR"'*) echo "$info" >&2 && exit 1 ;; esac
  done
  echo "$checksum  $name" | sha256sum -c
done
ask -X DELETE "$item/download-session/id:$session"
