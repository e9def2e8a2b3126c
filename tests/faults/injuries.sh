#!/bin/bash
# injuries.sh DIR: from DIR/good.export (a small closure as a stream of stock Nix) and DIR/good.firn, one file
# for each injury, named by it. Needs Nix with the closure in its store, as root.
set -eu
cd "$1"
paths=$(nix-store -qR "$(cat root)")
source=$(echo "$paths" | grep -m1 'setup.sh$')
size=$(stat -c %s good.export) packed=$(stat -c %s good.firn)

nix-store --dump "$source" >plain-nar
cp "$(cat root)" lone-derivation
printf '{"%s": {"args": [], "builder": "/bin/sh", "env": {}, "inputDrvs": {}, "inputSrcs": [], "outputs": {}, "system": "x86_64-linux"}}\n' "$(cat root)" >derivation-json
tar -C / --sort=name --mtime=@1 --owner=0 --group=0 -c "${source#/}" >tar-of-a-path
printf 'not a closure\n' | gzip -n >gzip-of-a-text
: >empty
printf 'Dear host,\nplease find the system below.\n' >text
head -c $((size / 2)) good.export >cut-stream
gzip -n <good.export | head -c 20000 >cut-gzip
head -c $((packed / 2)) good.firn >cut-file
head -c 20 good.firn >cut-header
(cat good.firn; printf x) >trailing-byte
# xargs makes several streams, and each closes nothing of the others.
echo "$paths" | grep -v -- '-zlib-1.2.11.drv$\|-stage1-stdenv-linux.drv$' | xargs -n 12 nix-store --export >split-export
echo "$paths" | grep -v -- '-setup.sh$' | xargs nix-store --export >missing-reference
cat good.export good.export >twice
flip() { cp "$1" "$2"; printf '\252\125' | dd of="$2" bs=1 seek="$3" conv=notrunc status=none; }
flip good.firn flipped-header 9
flip good.firn flipped-middle $((packed / 2))
flip good.firn flipped-end $((packed - 9))
flip good.export flipped-stream $((size / 2))

# Closures that good.firn is a delta against: versions, one with more in it, one for another kind of machine.
zlib=$(cat root)
version() { # NAME NUMBER SYSTEM PATH...
  local name=$1 number=$2 system=$3; shift 3
  local inputs=$(printf '(builtins.appendContext "%s" { "%s".path = true; }) ' $(printf '%s %s ' $(for p; do echo $p $p; done)))
  local drv=$(nix-instantiate -E "derivation { name = \"$name\"; system = \"$system\"; builder = \"/bin/sh\"; version = \"$number\"; inputs = [ $inputs ]; }" 2>/dev/null)
  firn convert -q <(nix-store --export $(nix-store -qR $drv)) "$name.firn" --to firn
}
inputs=$(nix-store -q --references "$zlib" | grep '.drv$')
version base 1 x86_64-linux $inputs
version later 2 x86_64-linux $inputs
version larger 1 x86_64-linux "$zlib" $inputs
version arm 1 aarch64-linux $inputs
delta() { firn convert -q --base "$1.firn" good.firn "$2"; }
delta base delta.firn
delta larger delta-larger.firn
delta arm delta-arm.firn
delta good delta-same.firn
last=base
for number in 1 2 3 4 5 6 7 8 9; do
  version step-$number $number x86_64-linux $inputs
  firn convert -q --base $last.firn step-$number.firn link-$number.firn
  last=step-$number
done
delta step-9 link-10.firn
size=$(stat -c %s delta.firn)
head -c $((size / 2)) delta.firn >delta-cut.firn
flip delta.firn delta-flipped-header.firn 60
flip delta.firn delta-flipped-end.firn $((size - 9))
flip base.firn base-flipped.firn $(($(stat -c %s base.firn) - 9))
