#!/bin/sh
# Brings a folder to a hidden host and runs a command there: knock, rsync over ssh, ssh. For any CI, and by hand.
#
#   PORTKNOCK_PROFILE   the client's profile: its text, as a CI secret, or the path of its file
#   PORTKNOCK_KEY       the OpenSSH key that signs the knocks, likewise; not for a profile with a shared secret, nor
#                       where an ssh-agent has the key (SSH_AUTH_SOCK)
#   DEPLOY_HOST         the host to deploy to, as ssh calls it
#   DEPLOY_KNOWN_HOSTS  its line of known_hosts: ssh-keyscan HOST, compared once with the host's own keys
#   DEPLOY_KEY          the text of the OpenSSH key that logs in, without passphrase; not where an ssh-agent has it
#   DEPLOY_FROM         the folder to bring, here
#   DEPLOY_TO           where to, there: an absolute path
#   DEPLOY_RUN          optional: the command to run there afterwards
#   DEPLOY_USER         optional: who logs in (default deploy)
#   DEPLOY_PORT         optional: the port of ssh (default 22)
#   DEPLOY_TIMEOUT      optional: seconds to go on knocking (default 20)
#
# Exit: 0 done; 1 refused or failed, another try may help; 2 usage or configuration, another try will not.
# Nothing is read from or written to a home directory; there need not be one.
set -eu

main() {
  check_usage
  work=$(mktemp -d) || stop 1 "no place for temporary files"
  trap 'rm -rf "$work"' EXIT
  trap 'exit 1' HUP INT TERM
  write_files
  rsync --archive --delete --compress --rsh "ssh -F '$work/ssh_config'" -- \
    "${DEPLOY_FROM%/}/" "hidden:$DEPLOY_TO/" || give_up "rsync"
  [ -z "${DEPLOY_RUN:-}" ] || ssh -F "$work/ssh_config" -n hidden "$DEPLOY_RUN" || give_up "ssh"
}

check_usage() {
  for program in portknock ssh rsync mktemp; do
    command -v "$program" >/dev/null || stop 2 "$program is not installed"
  done
  for name in PORTKNOCK_PROFILE DEPLOY_HOST DEPLOY_KNOWN_HOSTS DEPLOY_FROM DEPLOY_TO; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || stop 2 "$name is not set (see the head of this file)"
  done
  [ -d "$DEPLOY_FROM" ] || stop 2 "DEPLOY_FROM is not a folder: $DEPLOY_FROM"
  case $DEPLOY_TO in /?*) ;; *) stop 2 "DEPLOY_TO must be an absolute path, and not all of the host: $DEPLOY_TO" ;; esac
  whole DEPLOY_PORT "${DEPLOY_PORT:-22}"
  whole DEPLOY_TIMEOUT "${DEPLOY_TIMEOUT:-20}"
  # One line each: these are written to a configuration of ssh.
  word DEPLOY_HOST "$DEPLOY_HOST"
  word DEPLOY_USER "${DEPLOY_USER:-deploy}"
}

# Keys and settings, readable by us only (mktemp -d), gone when we are.
write_files() {
  umask 077
  printf '%s\n' "$DEPLOY_KNOWN_HOSTS" >"$work/known_hosts"
  [ -z "${DEPLOY_KEY:-}" ] || printf '%s\n' "$DEPLOY_KEY" >"$work/login"
  # ssh gives up with 255 whatever happened; what portknock said of it is kept beside.
  cat >"$work/proxy" <<PROXY
#!/bin/sh
portknock connect --timeout ${DEPLOY_TIMEOUT:-20}s "\$1" "\$2"
echo \$? >'$work/knocked'
PROXY
  cat >"$work/ssh_config" <<CONFIG
Host hidden
  HostName $DEPLOY_HOST
  Port ${DEPLOY_PORT:-22}
  User ${DEPLOY_USER:-deploy}
  UserKnownHostsFile "$work/known_hosts"
  GlobalKnownHostsFile none
  StrictHostKeyChecking yes
  BatchMode yes
  ServerAliveInterval 15
  # The time of the knock counts, too.
  ConnectTimeout $((${DEPLOY_TIMEOUT:-20} + 10))
  ProxyCommand sh '$work/proxy' %h %p
CONFIG
  [ -z "${DEPLOY_KEY:-}" ] || printf '  IdentitiesOnly yes\n  IdentityFile "%s"\n' "$work/login" >>"$work/ssh_config"
  # The last knock is remembered from rsync to ssh, and no longer.
  export XDG_STATE_HOME="$work/state"
  unset DEPLOY_KEY
}

give_up() {
  [ "$(cat "$work/knocked" 2>/dev/null)" != 2 ] || stop 2 "the profile or the key is not usable, see above"
  stop 1 "$1 failed, see above"
}

whole() {
  case $2 in '' | 0* | *[!0-9]* | ??????*) stop 2 "$1 must be a whole number: $2" ;; esac
}

word() {
  case $2 in -* | *[!A-Za-z0-9._:@-]*) stop 2 "$1 must be one word: $2" ;; esac
}

stop() {
  echo "deploy: $2" >&2
  exit "$1"
}

main
