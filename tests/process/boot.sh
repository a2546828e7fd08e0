#!/bin/sh
# Boots systemd as the first process of namespaces of its own; everything that it and its services
# write to is the namespaces' own, too. Called with a cgroup's name, and with the folders that
# /opt/test, /opt/vpcrouter's packages, /opt/python and /opt/source are to be.
set -eu
cgroup=$1 folder=$2 packages=$3 python=$4 source=$5

if [ "${6:-}" != inside ]; then
    # A cgroup whose subtree is all that systemd sees.
    mount -t cgroup2 cgroup2 "$folder/cgroup"
    mkdir "$folder/cgroup/$cgroup"
    echo $$ >"$folder/cgroup/$cgroup/cgroup.procs"
    umount "$folder/cgroup"
    exec unshare --cgroup --ipc --uts --pid --fork --kill-child --mount-proc \
        sh "$0" "$@" inside
fi

# What the service finds under /opt, out of reach of its ProtectHome and PrivateTmp.
mount -t tmpfs -o mode=0755 opt /mnt
mkdir /mnt/test /mnt/vpcrouter /mnt/python /mnt/source
mount --bind "$folder" /mnt/test
mount --bind "$folder/venv" /mnt/vpcrouter
mount --bind "$packages" "$(echo /mnt/vpcrouter/lib/python*/site-packages)"
mount --bind "$python" /mnt/python
mount --bind "$source" /mnt/source
mount --rbind /mnt /opt
umount -R /mnt

# The machine's settings stay as they are: so do its devices, its /etc and its /var.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount -R /sys/fs/cgroup
mount -o remount,bind,ro /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=0755 run /run
mkdir /run/etc
cp -a /etc/. /run/etc
mount --bind /run/etc /etc
ln -s /opt/test/vpcrouter.ini /etc/vpcrouter.ini
mount -t tmpfs -o mode=0755 var /var
mkdir -m 1777 /var/tmp
mkdir -p /var/lib /var/log /var/cache
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=0755 dev /mnt
mkdir /mnt/pts /mnt/shm
for node in null zero full random urandom tty; do
    cp -a "/dev/$node" /mnt
done
mount --move /mnt /dev
mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts
ln -s pts/ptmx /dev/ptmx
ln -s /proc/self/fd /dev/fd

exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test \
    SYSTEMD_UNIT_PATH=/opt/test/units SYSTEMD_GENERATOR_PATH=/nowhere \
    /lib/systemd/systemd --system --unit=test.target --log-target=console --show-status=no
