#!/usr/bin/env bash
# Provisions the interpreters and libraries that the integration tests attach to.
#
# What it makes, under ${PYATTACH_INTERPRETERS:-target/interpreters}:
#   sid/          a root of its own with Debian sid's python3.13, python3.14, python3.15, python3.14d and pypy3,
#                 and the libraries they need; nothing in it has debug information except python3.14d
#   site/VERSION/ aiohttp and what it needs, one tree per interpreter
#   site-uvloop/VERSION/ uvloop, for the interpreters that there is a wheel for
#   large/VERSION/ with --libraries: libraries/VERSION with numpy, and for 3.14 Django, SQLAlchemy, aiohttp and numpy, for the
#                 references of a large process
#   libraries/NAME/ with --libraries: the HTTP clients, database drivers and servers of the resource tests, for a few of
#                 the interpreters; NAME is the version, and for older releases of the libraries VERSION-old
#   debug/SERIES/ with --debug-files: usr/lib/debug/.build-id/… of the distributions' ordinary builds, and usr/bin/pythonX.Yd,
#                 a Py_DEBUG build with its debug information inside, both for layout tables
#   prometheus/   with --libraries: Debian's prometheus and promtool, which read what `serve` answers
#   memlab/       with --libraries: node_modules/ with memlab's analysis of heap snapshots, which reads what `graph` writes
#   trixie/ bullseye/  with --more: other patch releases (3.13.5, 3.9.2)
#
# What it relies on: a Debian machine, root, and the machine's own apt, pip and npm configuration; the mirror is the one that
# apt uses already. apt gets lists, cache and package state of its own, so the machine's state does not change. Packages
# are unpacked, not installed: no maintainer script runs, and none of npm's either.
#
# A part that is complete is not looked at again (.stamps/PART holds its recipe); nothing is fetched then.
# Every part is made beside its final place and renamed, so an interrupted run leaves nothing half made.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: tests/provision.sh [--libraries] [--debug-files] [--more] [--force]
  --libraries    also install the libraries whose resources are tested, Prometheus and memlab
  --debug-files  also fetch the debug files that `layout extract` reads
  --more         also fetch other patch releases of 3.13 and 3.9
  --force        make every part again
USAGE
}

want_libraries=0 want_debug=0 want_more=0 force=0
for argument in "$@"; do
    case $argument in
        --libraries) want_libraries=1 ;;
        --debug-files) want_debug=1 ;;
        --more) want_more=1 ;;
        --force) force=1 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
store=${PYATTACH_INTERPRETERS:-target/interpreters}
[[ $store == /* ]] || store=$repository/$store
pyenv_versions=${PYENV_ROOT:-$HOME/.pyenv}/versions
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
umask 022

say() { printf 'provision: %s\n' "$*"; }
fail() { printf 'provision: error: %s\n' "$*" >&2; exit 1; }

mkdir -p "$store/.stamps" "$store/.work"
exec 9>"$store/.lock"
flock 9

# done_with PART RECIPE: is PART complete, made by this RECIPE?
done_with() {
    ((force == 0)) && [[ -e $store/$1 && -f $store/.stamps/${1//\//-} ]] && [[ $(<"$store/.stamps/${1//\//-}") == "$2" ]]
}

# finish PART RECIPE BUILT: puts BUILT in PART's place and remembers its recipe.
finish() {
    rm -f "$store/.stamps/${1//\//-}"
    rm -rf "${store:?}/$1"
    mkdir -p "$(dirname "$store/$1")"
    mv "$3" "$store/$1"
    printf '%s\n' "$2" >"$store/.stamps/${1//\//-}"
}

require_root() { ((EUID == 0)) || fail "unpacking $1 needs root"; }

# apt_of SUITE COMMAND…: an apt program with lists, cache and package state of its own, looking at SUITE only.
# The suite "host" is what the machine itself is configured with.
apt_of() {
    local suite=$1 program=$2 home=$store/.work/apt-$1
    shift 2
    local -a sources=(-o "Dir::Etc::sourcelist=$home/sources.list" -o Dir::Etc::sourceparts=/dev/null)
    [[ $suite == host ]] && sources=()
    "$program" "${sources[@]}" \
        -o "Dir::State=$home/state" -o "Dir::State::status=$home/state/status" -o "Dir::State::lists=$home/lists" \
        -o "Dir::Cache=$home/cache" -o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User=root \
        -o APT::Install-Recommends=0 -o Acquire::Languages=none -o Acquire::Retries=3 -q=2 "$@"
}

# Reads the package lists of SUITE, once in a run.
lists_of() {
    local suite=$1 home=$store/.work/apt-$1
    [[ -f $home/fresh ]] && return
    mkdir -p "$home"/{state,lists/partial,cache/archives/partial}
    : >"$home/state/status"
    if [[ $suite != host ]]; then
        [[ -f $keyring ]] || fail "$keyring is missing: install debian-archive-keyring"
        local address
        address=$(mirror)
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$address" "$suite" >"$home/sources.list"
    fi
    say "reading the package lists of $suite"
    apt_of "$suite" apt-get update
    : >"$home/fresh"
}

# The mirror of Debian itself (not of its security updates) that this machine's apt is configured with.
mirror() {
    local format='$(REPO_URI) $(ORIGIN)/$(LABEL)' found
    found=$(apt-get indextargets --format "$format" 'Created-By: Packages')
    if [[ $found != *Debian/Debian* ]]; then # apt knows origins from its lists, and a fresh machine has none yet
        lists_of host >&2
        found=$(apt_of host apt-get indextargets --format "$format" 'Created-By: Packages')
    fi
    found=$(awk '$2 == "Debian/Debian" && !one++ { print $1 }' <<<"$found")
    [[ -n $found ]] || fail "no Debian mirror in this machine's apt configuration"
    printf '%s' "$found"
}

# download SUITE FOLDER PACKAGE…: fetches these packages, verified by apt, without dependencies.
download() {
    local suite=$1 folder=$2
    shift 2
    mkdir -p "$folder"
    (cd "$folder" && apt_of "$suite" apt-get download "$@")
}

# closure SUITE PACKAGE…: the packages and all they depend on, without what only graphics or configuration needs.
closure() {
    local suite=$1
    shift
    apt_of "$suite" apt-get --simulate --no-install-recommends install "$@" | awk '$1 == "Inst" { print $2 }' |
        grep -vE '^(fonts?-|fontconfig|libfontconfig|libfreetype|libpng|libx|libtk|libtcl|x11-|debconf|perl|sysvinit|lsb-|init-system)'
}

# root_of SUITE FOLDER PACKAGE…: unpacks packages and dependencies into a root that chroot can enter.
root_of() {
    local suite=$1 root=$2 debs=$store/.work/debs-$1 deb
    shift 2
    local -a packages
    lists_of "$suite"
    mapfile -t packages < <(closure "$suite" "$@")
    ((${#packages[@]} > 0)) || fail "$suite has no $*"
    say "fetching ${#packages[@]} packages of $suite: $*"
    rm -rf "$debs" "$root"
    download "$suite" "$debs" "${packages[@]}"
    mkdir -p "$root"/{etc,proc,dev,sys,tmp,run,root,fixtures,site}
    mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
    local link
    for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
    chmod 1777 "$root/tmp"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
    say "unpacking them"
    for deb in "$debs"/*.deb; do
        # tar, not dpkg-deb -x: the links /bin, /lib, … stay links where a package has them as folders
        dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$root" --keep-directory-symlink --no-same-owner \
            --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale \
            --exclude='./usr/lib/debug/.build-id'
    done
    ldconfig -r "$root"
    rm -rf "$debs"
}

# Does INTERPRETER run inside ROOT? Prints its version.
version_in() { chroot "$1" "$2" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])'; }

sid_root() {
    local recipe="2 python3.13 python3.14 python3.15 python3.14-dbg pypy3 libstdc++6" built=$store/.work/sid name
    done_with sid "$recipe" && { say "sid: complete"; return; }
    require_root sid
    # libstdc++: greenlet and gevent are in C++
    root_of sid "$built" python3.13 python3.14 python3.15 python3.14-dbg pypy3 libstdc++6
    for name in python3.13 python3.14 python3.15 python3.14d; do
        say "sid: $name is $(version_in "$built" "/usr/bin/$name")"
    done
    finish sid "$recipe" "$built"
}

# other_root SUITE PACKAGE EXECUTABLE
other_root() {
    local suite=$1 package=$2 name=$3 built=$store/.work/$1 recipe="1 $2"
    done_with "$suite" "$recipe" && { say "$suite: complete"; return; }
    require_root "$suite"
    root_of "$suite" "$built" "$package"
    say "$suite: $name is $(version_in "$built" "/usr/bin/$name")"
    finish "$suite" "$recipe" "$built"
}

# debug_files SERIES SUITE PACKAGE
debug_files() {
    local series=$1 suite=$2 package=$3 recipe="1 $3" wanted=$3
    local built=$store/.work/debug-$series debs=$store/.work/debs-debug-$series
    done_with "debug/$series" "$recipe" && { say "debug/$series: complete"; return; }
    lists_of "$suite"
    # Build ids match only between packages of one version: take the one of the interpreter that is installed here. A
    # mirror keeps only its newest; the layout is that of the same upstream release all the same.
    if [[ $suite == host ]]; then
        local version
        version=$(dpkg-query -W -f '${Version}' "python$series-minimal" 2>/dev/null || true)
        if [[ -n $version ]] && apt_of host apt-cache madison "$package" | awk '{ print $3 }' | grep -qxF "$version"; then
            wanted=$package=$version
        else
            say "debug/$series: the mirror has no $package ${version:-at all} any more; its build ids will not match"
        fi
    fi
    say "fetching $wanted of $suite"
    rm -rf "$debs" "$built"
    download "$suite" "$debs" "$wanted"
    mkdir -p "$built"
    dpkg-deb --fsys-tarfile "$debs"/*.deb | tar -x -C "$built" --no-same-owner --wildcards './usr/lib/debug' './usr/bin/python*d'
    rm -rf "$debs"
    finish "debug/$series" "$recipe" "$built"
}

# The programs of Prometheus alone: they need nothing but libc.
prometheus() {
    local recipe="1 prometheus promtool" built=$store/.work/prometheus debs=$store/.work/debs-prometheus
    done_with prometheus "$recipe" && { say "prometheus: complete"; return; }
    lists_of host
    say "fetching prometheus"
    rm -rf "$debs" "$built"
    download host "$debs" prometheus
    mkdir -p "$built"
    dpkg-deb --fsys-tarfile "$debs"/*.deb | tar -x -C "$built" --no-same-owner ./usr/bin/prometheus ./usr/bin/promtool
    rm -rf "$debs"
    "$built/usr/bin/promtool" --version >/dev/null 2>&1 || fail "promtool does not run"
    finish prometheus "$recipe" "$built"
}

# memlab's reader of heap snapshots. What it requires would download a browser from its install script, and none runs.
memlab() {
    local version=2.0.5 built=$store/.work/memlab
    local recipe="1 $version"
    done_with memlab "$recipe" && { say "memlab: complete"; return; }
    command -v npm >/dev/null || fail "no npm here (Debian: apt-get install nodejs npm)"
    say "installing memlab $version"
    rm -rf "$built"
    mkdir -p "$built"
    PUPPETEER_SKIP_DOWNLOAD=1 npm install --prefix "$built" --ignore-scripts --no-save --no-package-lock --no-audit \
        --no-fund --no-update-notifier --loglevel=error "@memlab/core@$version" "@memlab/heap-analysis@$version"
    finish memlab "$recipe" "$built"
}

# site VERSION PYTHON [PIP-OPTION…]: PYTHON's pip installs aiohttp for VERSION into site/VERSION.
site() {
    local version=$1 python=$2 recipe="1 aiohttp" built=$store/.work/site-$1
    shift 2
    done_with "site/$version" "$recipe" && { say "site/$version: complete"; return; }
    "$python" -m pip --version >/dev/null 2>&1 || fail "$python has no pip (Debian: apt-get install python3-pip)"
    say "installing aiohttp for $version"
    rm -rf "$built"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --no-input --no-compile --only-binary=:all: --target "$built" "$@" aiohttp
    finish "site/$version" "$recipe" "$built"
}

# uvloop VERSION PYTHON [PIP-OPTION…]: the same with uvloop, into site-uvloop/VERSION; empty where there is no wheel.
uvloop() {
    local version=$1 python=$2 recipe="1 uvloop" built=$store/.work/site-uvloop-$1
    shift 2
    done_with "site-uvloop/$version" "$recipe" && { say "site-uvloop/$version: complete"; return; }
    say "installing uvloop for $version"
    rm -rf "$built"
    mkdir -p "$built"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --no-input --no-compile --only-binary=:all: --target "$built" "$@" uvloop ||
        say "site-uvloop/$version: pip has no wheel for it; the tests of uvloop do not run there"
    finish "site-uvloop/$version" "$recipe" "$built"
}

sites() {
    local folder version name
    for folder in "$pyenv_versions"/*/; do
        version=$(basename "$folder")
        [[ $version =~ ^3\.([0-9]+)\.[0-9]+$ ]] && ((BASH_REMATCH[1] >= 8)) || continue
        site "$version" "$folder/bin/python3"
        uvloop "$version" "$folder/bin/python3"
    done
    if [[ -x /usr/bin/python3 ]]; then
        version=$(/usr/bin/python3 -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
        # The distribution's interpreter may be of a version that pyenv has too; the tree is the same then.
        site "$version" /usr/bin/python3
        uvloop "$version" /usr/bin/python3
    fi
    for name in 3.13 3.14 3.15; do
        version=$(version_in "$store/sid" "/usr/bin/python$name")
        # No pip in that root: the machine's pip chooses wheels for that version by tag.
        site "$version" /usr/bin/python3 --python-version "$name" --implementation cp
        uvloop "$version" /usr/bin/python3 --python-version "$name" --implementation cp
    done
}

# libraries NAME PACKAGE…: pip installs these packages into libraries/NAME, for the interpreter of that version: pyenv's, or
# sid's. NAME may have a suffix, for another set.
libraries() {
    local name=$1 version=${1%%-*} built=$store/.work/libraries-$1
    local python=$pyenv_versions/$version/bin/python3
    local -a options=()
    shift
    local recipe="1 $*"
    if [[ ! -x $python ]]; then
        [[ $version == "$newest_python" ]] || return 0
        # No pip in that root: the machine's pip chooses wheels for that version by tag.
        python=/usr/bin/python3 options=(--python-version "${version%.*}" --implementation cp)
    fi
    done_with "libraries/$name" "$recipe" && { say "libraries/$name: complete"; return; }
    say "installing libraries for $name"
    rm -rf "$built"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --no-input --no-compile --only-binary=:all: \
        --disable-pip-version-check --target "$built" "${options[@]}" "$@"
    finish "libraries/$name" "$recipe" "$built"
}

# large VERSION PYTHON PACKAGE… [-- PIP-OPTION…]: large/VERSION: libraries/VERSION (no copy of its files), if there is one, and these packages.
large() {
    local version=$1 python=$2 built=$store/.work/large-$1
    local -a packages=() options=()
    shift 2
    while (($#)) && [[ $1 != -- ]]; do packages+=("$1") && shift; done
    (($# == 0)) || options=("${@:2}")
    local recipe="2 ${packages[*]}"
    done_with "large/$version" "$recipe" && { say "large/$version: complete"; return; }
    [[ -x $python ]] || return 0
    say "installing ${packages[*]} for $version"
    rm -rf "$built"
    mkdir -p "$built"
    [[ ! -d $store/libraries/$version ]] || cp -al "$store/libraries/$version/." "$built"
    # bin is the only folder that several have.
    rm -rf "$built/bin"
    PIP_ROOT_USER_ACTION=ignore "$python" -m pip install --quiet --no-input --no-compile --only-binary=:all: \
        --disable-pip-version-check --target "$built" "${options[@]}" "${packages[@]}"
    finish "large/$version" "$recipe" "$built"
}

newest_libraries=(requests urllib3 httpx sqlalchemy greenlet aiosqlite redis pymongo django asyncpg psycopg2-binary
    'psycopg[binary]' psycopg_pool pymysql aiomysql uvloop gevent uvicorn gunicorn anyio aiohttp)
# What is tested with one interpreter only.
more_libraries=(celery kombu kafka-python grpcio boto3 oracledb dbutils)
older_libraries=(requests==2.28.2 urllib3==1.26.18 httpx==0.23.3 httpcore==0.16.3 'anyio<4' sqlalchemy==1.4.52
    'greenlet<3.2' 'aiosqlite<0.20' redis==4.6.0 pymongo==4.3.3 django==3.2.25 asyncpg==0.27.0 psycopg2-binary
    'psycopg[binary]==3.1.20' psycopg_pool==3.1.9 pymysql aiomysql==0.1.1 aiohttp==3.8.6)
# The oldest releases that the entries are for, and the oldest that there are wheels of for 3.13.
oldest_libraries=(requests==2.26.0 urllib3==1.26.5 sqlalchemy==1.4.23 'greenlet<2' 'aiosqlite==0.17.0' redis==4.2.0
    pymongo==4.0 django==3.2 asyncpg==0.22.0 psycopg2-binary==2.9 'psycopg[binary]==3.1' psycopg_pool==3.1
    aiohttp==3.8.1)
oldest_for_313=(requests==2.28.2 urllib3==1.26.18 sqlalchemy==2.0.31 'greenlet<3.2' 'aiosqlite<0.20' redis==4.6.0
    pymongo==4.9 django==4.2 asyncpg==0.30.0 psycopg2-binary==2.9.10 'psycopg[binary]==3.2.3' psycopg_pool==3.2.3
    aiohttp==3.10.11)

rm -rf "$store"/.work/apt-*/fresh
sid_root
sites
if ((want_libraries)); then
    prometheus
    memlab
    newest_python=$(version_in "$store/sid" /usr/bin/python3.15)
    libraries 3.8.18 "${newest_libraries[@]}"
    libraries 3.8.18-old "${oldest_libraries[@]}"
    libraries 3.11.7 "${newest_libraries[@]}"
    libraries 3.11.7-old "${older_libraries[@]}"
    libraries 3.13.0 "${newest_libraries[@]}" "${more_libraries[@]}"
    libraries 3.13.0-old "${oldest_for_313[@]}"
    libraries "$newest_python" "${newest_libraries[@]}"
    for name in 3.8.18 3.11.7 3.13.0; do large "$name" "$pyenv_versions/$name/bin/python3" numpy; done
    # pip holds what a package requires against the Python that it runs on itself.
    large "$newest_python" /usr/bin/python3 numpy -- --python-version 3.15 --implementation cp --ignore-requires-python
    large "$(version_in "$store/sid" /usr/bin/python3.14)" /usr/bin/python3 aiohttp django sqlalchemy numpy -- \
        --python-version 3.14 --implementation cp --ignore-requires-python
fi
if ((want_debug)); then
    debug_files 3.11 host python3.11-dbg
    debug_files 3.13 sid python3.13-dbg
    debug_files 3.14 sid python3.14-dbg
    debug_files 3.15 sid python3.15-dbg
fi
if ((want_more)); then
    other_root trixie python3.13-minimal python3.13
    other_root bullseye python3.9-minimal python3.9
fi
rm -rf "$store/.work"
say "all there: $store"
