#!/bin/sh
# Prints a log from its beginning and follows it when it is rotated, as `tail -n +1 -F` does, but misses nothing: tail
# closes a renamed file at once, and Vault writes to it until it has opened the new one. Whoever reads may be slow: all
# files that were rotated meanwhile are printed, also compressed ones. FILE.1 is printed at the start: it may have been
# rotated before. An alert that is stored already is not raised again.
# shellcheck disable=SC3013 # dash and bash know -ef and -nt
set -u
file=$1

# Print the name of the oldest file that is newer than the one that was read: the highest number.
oldest_unread() {
    unread=$file number=1
    ! [ -e "$file.1" ] || [ "$file.1" -ef /dev/fd/3 ] || unread=$file.1
    while [ -e "$file.$number" ] || [ -e "$file.$number.gz" ]; do
        for rotated in "$file.$number.gz" "$file.$number"; do # the latter is whole while the former is written
            if [ "$rotated" -nt /dev/fd/3 ] && ! [ "$rotated" -ef /dev/fd/3 ]; then unread=$rotated; fi
        done
        number=$((number + 1))
    done
    echo "$unread"
}

# Open a file as descriptor 4. It may be renamed at any moment, which must not end this.
open_4() { command exec 4<"$1"; }

# Open the next file to read, after printing those before it that are compressed.
next_file() {
    while next=$(oldest_unread); do
        if ! open_4 "$next" || ! [ "$(oldest_unread)" -ef /dev/fd/4 ]; then
            sleep 0.1
            continue
        fi
        exec 3<&4
        case $next in
        *.gz) gzip -dc <&3 ;;
        *) return ;;
        esac
    done
}

begin() {
    open_4 "$file" || return
    exec 3<&4
    if [ -e "$file.1" ] && ! [ "$file.1" -ef /dev/fd/3 ]; then open_4 "$file.1" && exec 3<&4; fi
}

until [ -e "$file" ] && begin; do sleep 1; done
while cat <&3; do
    # Once something is in the new file, Vault has closed the renamed one.
    if [ -s "$file" ] && ! [ "$file" -ef /dev/fd/3 ]; then
        cat <&3
        next_file
    else
        sleep 0.5
    fi
done
