#!/bin/sh
# tree.sh DIR [FILES]: a source tree of 50,000 small files that look like code, and a folder of odd things.
set -eu
mkdir -p "$1"
cd "$1"
awk -v files="${2:-50000}" 'BEGIN {
    words = split("let in inherit with rec import stdenv fetchurl lib mkDerivation pname version sha256 buildInputs " \
        "nativeBuildInputs meta description license maintainers platforms homepage configureFlags postInstall patches", word, " ")
    seed = 1
    for (i = 0; i < files; i++) {
        if (i % 100 == 0) { folder = sprintf("pkgs/%02d/%03d", i / 100 % 37, i / 100); system("mkdir -p " folder) }
        file = sprintf("%s/package-%d.nix", folder, i)
        for (line = 0; line < 20 + i % 31; line++) {
            text = " "
            for (w = 0; w < 5; w++) { seed = (seed * 69069 + 1) % 4294967296; text = text " " word[1 + int(seed / 65536) % words] }
            printf "%s = %d;\n", text, seed % 100000 > file
        }
        close(file)
    }
}'
mkdir -p odd/nothing odd/deep/er
printf 'plain\n' >odd/plain
printf '#!/bin/sh\n' >odd/run
chmod +x odd/run
: >odd/deep/empty
ln -s ../plain odd/deep/link
ln -s /nowhere/at/all odd/dangling
printf 'caf\351 \377\n' >odd/latin1
