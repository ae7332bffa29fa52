#!/bin/sh
# Prints a log from its beginning and follows it when it is rotated, as `tail -n +1 -F` does, but misses nothing: tail
# closes a renamed file at once, and Vault writes to it until it has opened the new one. FILE.1 is printed too if this
# process has not read it: it may have been rotated before. An alert that is stored already is not raised again.
# shellcheck disable=SC3013 # dash and bash know -ef
set -u
file=$1

print() { [ ! -e "$1" ] || cat "$1"; }

until [ -e "$file" ]; do sleep 1; done
exec 3<"$file"
print "$file.1"
while cat <&3; do
    # Once something is in the new file, Vault has closed the renamed one.
    if [ -s "$file" ] && ! [ "$file" -ef /dev/fd/3 ]; then
        cat <&3
        [ "$file.1" -ef /dev/fd/3 ] || print "$file.1"
        exec 3<"$file"
    else
        sleep 0.5
    fi
done
