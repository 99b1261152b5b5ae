#!/bin/sh
# Make the system that all machines on this desk share, and only read: a Debian in place of Ubuntu's image. Needs root.
# usage: prepare_root.sh FOLDER
set -eu
new=$1.new root=$1.new/root
rm -rf "$new"
mkdir -p "$new"

# What Ubuntu's server image has, as far as the machine needs it. apt knows where this system's Debian comes from, and
# how it is reached; without any knowledge mmdebstrap takes Debian's own.
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Identifier: Packages' 'Origin: Debian' 'Component: main' >"$new/sources"
grep -q ' bookworm main' "$new/sources" || : >"$new/sources"
apt-config dump | grep -Ei '^acquire::(https?|check)' >"$new/apt.conf" || true
packages=systemd,systemd-sysv,udev,dbus,cloud-init,python3-cffi-backend,python3-pip,xfsprogs,e2fsprogs,openssl
packages=$packages,openssh-server,sudo,curl,iproute2,ca-certificates,procps,tmux
mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt="$new/apt.conf" --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$root" $(test -s "$new/sources" && echo "$new/sources")

mkdir "$root/mnt/around" "$root/mnt/warm"
cat >"$root/etc/cloud/cloud.cfg.d/99-autostop.cfg" <<CLOUD
datasource_list: [NoCloud, None]
network: {config: disabled}
locale: C.UTF-8
ssh_genkeytypes: [ed25519]
apt_preserve_sources_list: true
system_info: {default_user: {name: ubuntu, groups: [sudo], sudo: ["ALL=(ALL) NOPASSWD:ALL"], shell: /bin/bash, lock_passwd: true}}
CLOUD
mkdir "$root/etc/systemd/system.conf.d"
cat >"$root/etc/systemd/system.conf.d/registries.conf" <<REGISTRIES
[Manager]
DefaultEnvironment=PIP_NO_INDEX=1 PIP_FIND_LINKS=/mnt/warm/wheels UV_OFFLINE=1 UV_CACHE_DIR=/mnt/warm/uv
REGISTRIES
# Theirs is the system around.
for unit in systemd-udevd.service systemd-udev-trigger.service systemd-networkd-wait-online.service \
    systemd-sysctl.service fstrim.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer \
    sys-kernel-debug.mount sys-kernel-tracing.mount getty.target; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

rm -rf "$1"
mv "$root" "$1"
rm -r "$new"
