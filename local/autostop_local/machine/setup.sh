#!/bin/sh
# The first steps of process 1 of a machine: its root, its devices, then systemd.
# usage: setup.sh PREPARED-ROOT FOLDER-FOR-MOUNTS SEED WARM-OR-EMPTY sda1=/dev/loopN [NAME=DEVICE...]
set -e
prepared=$1 mounts=$2 seed=$3 warm=$4
shift 4
mount --make-rprivate /
mount -t tmpfs machine "$mounts"
cd "$mounts"
mkdir volume root scratch
mount "${1#*=}" volume
mkdir -p volume/upper volume/work
mount -t overlay -o "lowerdir=$prepared,upperdir=volume/upper,workdir=volume/work" machine root
if test -n "$warm"; then
    mkdir scratch/upper scratch/work
    chmod 777 scratch/upper
    mount -t overlay -o "lowerdir=$warm,upperdir=scratch/upper,workdir=scratch/work" warm root/mnt/warm
fi
cd root
mkdir -p var/lib/cloud/seed
cp -rT "$seed" var/lib/cloud/seed/nocloud
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 dev dev
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
for node in 'null 3' 'zero 5' 'full 7' 'random 8' 'urandom 9'; do
    mknod -m 666 "dev/${node% *}" c 1 "${node#* }"
done
mknod -m 666 dev/tty c 5 0
mknod -m 666 dev/fuse c 10 229
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
for volume in "$@"; do
    mknod -m 660 "dev/${volume%%=*}" b 7 "${volume#*=/dev/loop}"
done
pivot_root . mnt/around
cd /
umount -l mnt/around
# What belongs to the system around: its modules and its clock.
exec env -i container=autostop setpriv --bounding-set=-sys_module,-sys_time,-syslog /lib/systemd/systemd
