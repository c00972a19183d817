# Fetches from Debian's archive through apt, with a package state of its own: the machine's package
# lists and sources stay as they are, and root is not needed. Proxies and the like still come from the
# machine's configuration. Sourced by build-deps and sysroot.sh, which set $cache.
#
# GAVEL_MIRROR=url   Debian mirror to fetch from; default is the one this machine's apt uses

say() { printf '%s\n' "$*"; }
die() { printf "${0##*/}: %s\n" "$@" >&2; exit 1; }

find_mirror() {
    [ -z "${GAVEL_MIRROR-}" ] || { printf '%s' "$GAVEL_MIRROR"; return; }
    local all
    all=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 2>/dev/null || true)
    # Without package lists there are no labels yet; then go by the name.
    { grep '^Debian ' <<< "$all" || grep '/debian/*$' <<< "$all" || true; } | sed -n '1s/.* //p'
}

apt_dir=    # of the index that was prepared last
private_apt() { apt-get -qq -c "$apt_dir/apt.conf" "$@"; }

# prepare_apt deb-src|deb SUITE ARCHITECTURE: reads that index, once in a run.
prepare_apt() {
    local kind=$1 suite=$2 arch=$3 mirror keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
    [ "$apt_dir" != "$cache/apt/$kind-$suite-$arch" ] || return 0
    apt_dir=$cache/apt/$kind-$suite-$arch
    mirror=$(find_mirror)
    [ -n "$mirror" ] || die "this machine's apt names no Debian mirror." \
        "Set GAVEL_MIRROR=URL-of-a-Debian-mirror, or put what the .lock files name into $cache/downloads."
    [ ! -f $keyring ] || signed="signed-by=$keyring"
    mkdir -p "$apt_dir"/{lists,cache/archives}/partial
    : > "$apt_dir/status"
    printf '%s [arch=%s %s] %s %s main\n' "$kind" "$arch" "$signed" "$mirror" "$suite" > "$apt_dir/sources.list"
    cat > "$apt_dir/apt.conf" <<-CONF
	#clear APT::Update::Pre-Invoke;
	#clear APT::Update::Post-Invoke;
	#clear APT::Update::Post-Invoke-Success;
	#clear APT::Architectures;
	APT::Architecture "$arch";
	APT::Architectures { "$arch"; };
	Dir::State "$apt_dir";
	Dir::State::Lists "$apt_dir/lists";
	Dir::State::status "$apt_dir/status";
	Dir::Cache "$apt_dir/cache";
	Dir::Etc::SourceList "$apt_dir/sources.list";
	Dir::Etc::SourceParts "-";
	APT::Sandbox::User "root";
	APT::Update::Error-Mode "any";
	Acquire::Languages "none";
	Acquire::Retries "3";
	CONF
    say "reading the index of Debian $suite ($kind, $arch)"
    private_apt update || die "cannot read the index of Debian $suite ($kind, $arch): is the network there?" \
        "The mirror is the one of this machine's apt configuration; GAVEL_MIRROR=URL names another."
}

check_sha256() { # check_sha256 FILE EXPECTED LOCK
    local got
    got=$(sha256sum < "$1" | cut -d' ' -f1)
    [ "$got" = "$2" ] || die "refused: ${1##*/} is not what toolchains/$3 pins." \
        "  expected sha256 $2" "  got             $got" "  file            $1" \
        "If the file was damaged, delete it and run again. If $3 was edited, put the right sum there." \
        "If neither, the archive serves another file under this name: find out why before trusting it."
}
