#!/bin/sh
# boot.sh SEED PATH...: boots systemd over a copy-on-write view of this machine's root, in
# namespaces of its own and the network namespace that it is called in.  What is below SEED is laid
# over the root, the units named in SEED/enabled are enabled, each PATH is seen as it is, read-only.
# Nothing that is written inside reaches this machine: not its files, clock, modules or settings.
set -eu

boot() { # LAYERS SEED PATH...: in the new namespaces, as process 1 of them
    layers=$1
    seed=$2
    shift 2
    mount --make-rprivate /
    mount -t tmpfs -o mode=755 lbfast "$layers"
    root=$layers/root
    mkdir "$root" "$layers/upper" "$layers/work"
    mount -t overlay -o "lowerdir=/,upperdir=$layers/upper,workdir=$layers/work" lbfast "$root"
    kernel_files "$root"
    devices "$root"
    mount -t tmpfs -o mode=755 lbfast "$root/run"
    mount -t tmpfs -o mode=1777 lbfast "$root/tmp"
    for path; do
        mkdir -p "$root$path"
        mount --bind "$path" "$root$path"
        mount -o remount,bind,ro "$root$path"
    done
    units "$root"
    cp -R "$seed/." "$root/"
    xargs -r systemctl -q --root="$root" enable <"$seed/enabled"
    cd "$root"
    mkdir -p .before
    pivot_root . .before
    umount -l .before
    # neither the clock nor the modules are a machine's of this kind
    exec setpriv --bounding-set=-sys_time,-sys_module,-syslog env -i container=lbfast \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
}

kernel_files() { # ROOT: what is the kernel's is read-only, but for the network's settings
    mount -t proc proc "$1/proc"
    mount --bind "$1/proc/sys/net" "$1/mnt"
    mount --bind "$1/proc/sys" "$1/proc/sys"
    mount -o remount,bind,ro "$1/proc/sys"
    mount --move "$1/mnt" "$1/proc/sys/net"
    [ ! -e "$1/proc/sysrq-trigger" ] || mount --bind /dev/null "$1/proc/sysrq-trigger"
    mount -t sysfs -o ro sysfs "$1/sys"
    mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
}

devices() { # ROOT
    mount -t tmpfs -o mode=755 lbfast "$1/dev"
    for name in null zero full random urandom tty; do
        touch "$1/dev/$name"
        mount --bind "/dev/$name" "$1/dev/$name"
    done
    mkdir "$1/dev/pts" "$1/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts"
    mount -t tmpfs -o mode=1777 lbfast "$1/dev/shm"
    ln -s pts/ptmx "$1/dev/ptmx"
    ln -s /proc/self/fd "$1/dev/fd"
}

units() { # ROOT: of this machine's own units nothing is enabled
    rm -rf "$1/etc/systemd/system" "$1/var/log/journal"
    mkdir -p "$1/etc/systemd/system"
    : >"$1/etc/fstab"
    : >"$1/etc/machine-id"
    ln -s /lib/systemd/system/multi-user.target "$1/etc/systemd/system/default.target"
    for unit in dbus.service dbus.socket systemd-logind.service getty.target \
        modprobe@.service systemd-modules-load.service systemd-sysctl.service \
        systemd-tmpfiles-setup.service systemd-tmpfiles-setup-dev.service \
        systemd-tmpfiles-clean.timer systemd-remount-fs.service systemd-udevd.service \
        systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-udev-trigger.service \
        sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
        sys-fs-fuse-connections.mount dev-hugepages.mount systemd-update-utmp.service; do
        ln -s /dev/null "$1/etc/systemd/system/$unit"
    done
}

if [ "$1" = --inside ]; then
    shift
    boot "$@"
fi

# A control group of its own, by a mount that nobody else sees, removed when all is over.
if [ "$1" != --apart ]; then
    exec unshare --mount "$0" --apart "$@"
fi
shift
mount --make-rprivate /
here=$(mktemp -d)
mkdir "$here/groups" "$here/layers"
mount -t cgroup2 cgroup2 "$here/groups"
group=$here/groups/lbfast-boot-$$
mkdir "$group"
(
    echo 0 >"$group/cgroup.procs"
    exec unshare --fork --kill-child --pid --mount --uts --ipc --cgroup \
        "$0" --inside "$here/layers" "$@"
) &
machine=$!
trap 'kill -9 $machine 2>/dev/null || true' TERM
status=0
wait $machine || status=$?
while kill -0 $machine 2>/dev/null; do wait $machine || status=$?; done
tries=0
until find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || [ $tries = 50 ]; do
    tries=$((tries + 1))
    sleep 0.1 # what ran in there is still ending
done
umount "$here/groups"
rmdir "$here/groups" "$here/layers" "$here"
exit $status
