# shellcheck shell=sh
# /etc/profile.d/vaultwatch.sh: no history of commands, which could contain secrets. Session Manager logs sessions.
unset HISTFILE
export HISTSIZE=0
export LESSHISTFILE=-
