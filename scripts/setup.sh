#!/usr/bin/env bash
# Gets a machine ready for limbic: a Vulkan driver, a C linker and cargo.
#
#   scripts/setup.sh           install what is missing (Debian and Ubuntu), else say what to do
#   scripts/setup.sh --check   install nothing; only say what is missing
#
# Where a Vulkan driver is found nothing is installed. Ends with 0 when all is there, 1 when something is still missing,
# 2 on a wrong argument. May be run again at any time.
set -euo pipefail

readonly RUST_NEEDED=1.88
# Debian keeps ldconfig where an ordinary user's PATH does not look.
PATH="$PATH:/usr/sbin:/sbin"

say() { printf 'setup: %s\n' "$*"; }

# The only places where the Vulkan loader looks if the user named some; empty if not.
chosen_drivers() { printf '%s' "${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}"; }

# The first manifest of a Vulkan driver, by the rules of the Vulkan loader.
vulkan_manifest() {
    local home_config="${XDG_CONFIG_HOME:-${HOME:-/nonexistent}/.config}"
    local home_data="${XDG_DATA_HOME:-${HOME:-/nonexistent}/.local/share}"
    local -a places
    local place file listed
    listed=$(chosen_drivers)
    IFS=: read -ra places <<<"${listed:-${VK_ADD_DRIVER_FILES:-}}"
    if [[ -z $listed ]]; then
        places+=("$home_config/vulkan/icd.d" /etc/xdg/vulkan/icd.d /usr/local/etc/vulkan/icd.d /etc/vulkan/icd.d
            "$home_data/vulkan/icd.d" /usr/local/share/vulkan/icd.d /usr/share/vulkan/icd.d)
    fi
    for place in "${places[@]}"; do
        [[ -n $place ]] || continue
        for file in "$place" "$place"/*.json; do
            if [[ -f $file ]]; then
                printf '%s\n' "$file"
                return 0
            fi
        done
    done
    return 1
}

vulkan_loader() {
    local known
    known=$(ldconfig -p 2>/dev/null || true)
    [[ $known == *libvulkan.so.1* ]]
}

# Runs a command as root, by sudo where need be.
as_root() {
    if [[ $(id -u) == 0 ]]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        say "root is needed for: $* (there is no sudo here; run that as root)"
        return 1
    fi
}

install_packages() {
    as_root apt-get update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# True on Debian, Ubuntu and what descends from them.
is_debian() {
    command -v apt-get >/dev/null && [[ -r /etc/os-release ]] && grep -Eq '^ID(_LIKE)?=.*(debian|ubuntu)' /etc/os-release
}

elsewhere() {
    say "install it with your system's packages, for example:"
    say "  Fedora   sudo dnf install mesa-vulkan-drivers vulkan-loader gcc"
    say "  Arch     sudo pacman -S vulkan-swrast vulkan-icd-loader gcc"
    say "  Alpine   sudo apk add mesa-vulkan-swrast vulkan-loader gcc musl-dev"
    say "  openSUSE sudo zypper install libvulkan_lvp libvulkan1 gcc"
    say "or, for a GPU, the driver of its maker; then run this script again."
}

# Installs packages $2... where this system's packages are known to us; $1 says why.
provide() {
    local why=$1
    shift
    say "$why"
    if [[ $check_only == yes ]]; then
        say "(--check: nothing was installed; it would be: $*)"
        return 1
    fi
    if ! is_debian; then
        elsewhere
        return 1
    fi
    say "installing: $*"
    install_packages "$@" || {
        say "the installation failed; see above"
        return 1
    }
}

linux_graphics() {
    local manifest=
    manifest=$(vulkan_manifest) || true
    if [[ -n $manifest ]] && vulkan_loader; then
        say "Vulkan driver: $manifest; nothing to install"
        return 0
    fi
    if [[ -z $manifest && -n $(chosen_drivers) ]]; then
        say "VK_DRIVER_FILES (or VK_ICD_FILENAMES) is '$(chosen_drivers)', where there is no driver: correct or unset it"
        return 1
    fi
    if [[ -n $manifest ]]; then
        provide "the driver $manifest is there but not the Vulkan loader (libvulkan.so.1)" libvulkan1 || return 1
    else
        local why="no Vulkan driver was found. limbic computes through Vulkan, so one is needed even without a GPU:"
        why+=" mesa-vulkan-drivers brings lavapipe, which is Vulkan on the CPU (and the drivers of AMD and Intel GPUs)"
        provide "$why" mesa-vulkan-drivers libvulkan1 || return 1
    fi
    manifest=$(vulkan_manifest) || true
    if [[ -z $manifest ]] || ! vulkan_loader; then
        say "there is still no Vulkan driver; is this an architecture that Mesa is built for?"
        return 1
    fi
    say "Vulkan driver: $manifest"
}

linker() {
    if command -v cc >/dev/null; then
        return 0
    fi
    provide "no C linker (cc) was found; cargo needs one to link programs" gcc libc6-dev
}

rust() {
    local version
    if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-${HOME:-}/.cargo}/bin/cargo ]]; then
        say "cargo is installed but not on the PATH: run  . \"${CARGO_HOME:-$HOME/.cargo}/env\""
        return 1
    fi
    if ! command -v cargo >/dev/null; then
        say "cargo was not found. Install Rust $RUST_NEEDED or later as https://rustup.rs says:"
        say "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
        return 1
    fi
    version=$(cargo --version | cut -d ' ' -f 2)
    if [[ $(printf '%s\n' "$RUST_NEEDED" "$version" | sort -V | head -n 1) != "$RUST_NEEDED" ]]; then
        say "cargo $version is too old: limbic needs $RUST_NEEDED (with rustup: rustup update stable)"
        return 1
    fi
    say "cargo $version"
}

check_only=no
case "${1:-}" in
    '') ;;
    --check) check_only=yes ;;
    -h | --help)
        sed -n '2,8p' "$0" | sed 's/^# \{0,1\}//'
        exit 0
        ;;
    *)
        say "unknown argument '$1'; there is only --check" >&2
        exit 2
        ;;
esac

missing=0
case "$(uname -s)" in
    Linux)
        linux_graphics || missing=1
        linker || missing=1
        ;;
    Darwin) say "macOS: Metal is part of the system; nothing to install" ;;
    MINGW* | MSYS* | CYGWIN*) say "Windows: DirectX 12 is part of the system; nothing to install" ;;
    *)
        say "this system is not known to the script: it needs a Vulkan driver"
        elsewhere
        missing=1
        ;;
esac
rust || missing=1
if [[ $missing == 0 ]]; then
    say "ready: cargo run --release --example msa_train"
fi
exit "$missing"
