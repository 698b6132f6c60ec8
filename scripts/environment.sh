# What `run` and `test` share; to be sourced. Expects $project, the folder of the checkout.
#
# make_environment EXTRA  sees to .venv with the pinned dependencies and this package's extra EXTRA, and to the system's
#                         packages that a campaign needs. It does nothing where a stamp says that nothing has changed.

venv=${BLOOMERY_VENV:-$project/.venv}
# Every job is a Python of its own: what it imports is compiled once, and not each time.
unset PYTHONDONTWRITEBYTECODE
torch_pin=$(sed -n 's/^torch==/torch==/p' "$project/constraints.txt")

say() { printf '%s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# A Python that is new enough, the default one first.
find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

has_pw() { command -v "${PW:-pw.x}" >/dev/null 2>&1; }

has_pseudopotentials() {
    local folder
    for folder in "${ESPRESSO_PSEUDO:-}" /usr/share/espresso/pseudo /usr/local/share/espresso/pseudo "$HOME/espresso/pseudo"; do
        [ -n "$folder" ] && ls "$folder"/*.[Uu][Pp][Ff] >/dev/null 2>&1 && return
    done
    return 1
}

has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Prints the names of the distribution's packages that are missing.
missing_packages() {
    local python
    if python=$(find_python); then
        has_venv "$python" || echo "$(basename "$(readlink -f "$python")")-venv"
    elif command -v python3 >/dev/null 2>&1; then
        echo python3.11 python3.11-venv  # the default one is too old
    else
        echo python3 python3-venv
    fi
    command -v ps >/dev/null 2>&1 || echo procps
    has_pseudopotentials || echo quantum-espresso-data
    # Debian's pw.x comes with a slow BLAS; with this one most of it is a third faster.
    has_pw || echo quantum-espresso libopenblas0-serial
}

# Runs apt-get as root, or through sudo where it asks for no password.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        sudo -n "$@"
    else
        return 77
    fi
}

install_packages() {
    local missing
    missing=$(missing_packages | tr '\n' ' ')
    [ -n "${missing// /}" ] || return 0
    say "Installing from the distribution: $missing"
    if command -v apt-get >/dev/null 2>&1 && as_root true; then
        if as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 </dev/null &&
            # shellcheck disable=SC2086
            as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing \
                >>"$log" 2>&1 </dev/null; then
            return 0
        fi
        say "apt-get did not succeed; its last lines (all of them in $log):"
        tail -n 5 "$log" >&2
    fi
    say "Missing on this machine: $missing" \
        "
  As an administrator:  apt-get install $missing
  Without being one:    Python >= 3.11 and pw.x also come from conda-forge (conda install -c conda-forge python qe),
                        from a module of your cluster (module load QuantumESPRESSO), or from a path:
                        PW=/path/to/pw.x ESPRESSO_PSEUDO=/folder/with/UPF/files ./run
  Then run this again."
    # Without pw.x and its files campaigns with other labellers still work; without Python nothing does.
    local python
    python=$(find_python) && has_venv "$python" && command -v ps >/dev/null 2>&1 || exit 1
}

# A compiler, with which molecular dynamics is three times faster than without (bloomery.native).
install_compiler() {
    local name
    for name in cc gcc clang; do command -v "$name" >/dev/null 2>&1 && return; done
    command -v apt-get >/dev/null 2>&1 && as_root true || return 0
    say "Installing from the distribution: gcc libc6-dev"
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 </dev/null &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends gcc libc6-dev \
            >>"$log" 2>&1 </dev/null; then
        return
    fi
    say "apt-get could not install a C compiler; everything works without one, dynamics more slowly."
}

# What tests alone need. They say what they skip for the want of it, so that nothing depends on the outcome.
install_for_tests() {
    local wanted=() package
    command -v cp2k.psmp >/dev/null 2>&1 || command -v cp2k >/dev/null 2>&1 || wanted+=(cp2k)
    command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || wanted+=(chromium)
    # Servers which tests start for themselves. Installed where systemd runs, they would run for good.
    if [ ! -d /run/systemd/system ]; then
        local programs=$PATH:/usr/sbin
        PATH=$programs command -v slurmctld >/dev/null 2>&1 || wanted+=(munge slurm-client slurmctld slurmd)
        PATH=$programs command -v sshd >/dev/null 2>&1 || wanted+=(openssh-server)
        PATH=$programs command -v rabbitmq-server >/dev/null 2>&1 || wanted+=(rabbitmq-server)
        compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || wanted+=(postgresql)
    fi
    [ ${#wanted[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null 2>&1 && as_root true || return 0
    say "Installing from the distribution, for tests: ${wanted[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q >"$log" 2>&1 </dev/null || true
    for package in "${wanted[@]}"; do
        # In this run level no package starts its server.
        as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends "$package" \
            >>"$log" 2>&1 </dev/null ||
            say "apt-get could not install $package; the tests that need it are skipped."
    done
}

stamp_of() {
    { cat "$project/constraints.txt" "$project/pyproject.toml"; echo "$1 $venv $project"; } | cksum
}

pip_install() {
    "$venv/bin/pip" install -q --disable-pip-version-check "$@" >"$log" 2>&1 </dev/null && return
    grep -v '^WARNING' "$log" | tail -n 20 >&2
    return 1
}

make_environment() {
    local extra=$1 stamp="$venv/.bloomery-$1" python
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    install_packages
    if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(stamp_of "$extra")" ]; then
        return
    fi
    python=$(find_python) || fail "There is no Python >= 3.11 on this machine."
    if ! [ -x "$venv/bin/pip" ]; then
        say "Making $venv with $("$python" --version)"
        "$python" -m venv "$venv"
    fi
    install_compiler
    say "Installing the dependencies (the first time takes minutes)"
    # torch first and by its pin: a later resolution would take any build of it.
    pip_install "$torch_pin" ||
        fail "pip could not install $torch_pin; a build for CPUs alone is smaller: point PIP_FIND_LINKS or" \
            "PIP_EXTRA_INDEX_URL to one and run this again."
    pip_install -c "$project/constraints.txt" -e "$project[$extra]" ||
        fail "pip could not install the dependencies; mend what it says, then run this again."
    stamp_of "$extra" >"$stamp"
}
