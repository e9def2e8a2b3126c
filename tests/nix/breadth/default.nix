# A package collection in miniature, with everything that a closure of derivations can hold. Nothing of it is
# built but what the evaluation itself needs.
#
#   nix-instantiate -A all --arg tools /path/with/bash --arg tree /path/made/by/tree.sh
{ tools, tree, count ? 300 }:

let
  inherit (builtins) elemAt genList hashString listToAttrs map toFile;

  bash = builtins.path { name = "bash-static"; path = tools + "/bash"; };
  make = name: attributes: derivation ({
    inherit name;
    system = "x86_64-linux";
    builder = bash;
    args = [ "-e" (toFile "builder.sh" "source ${setup}\n") ];
  } // attributes);

  # Sources that refer to sources.
  functions = toFile "functions.sh" "log() { echo \"$@\" >&2; }\n";
  setup = toFile "setup.sh" "source ${functions}\necho $name > $out\n";

  mod = a: b: a - b * (a / b);
  package = i: make "package-${toString i}-${toString (mod i 7)}.${toString (mod i 10)}" ({
    buildInputs = map (elemAt packages) (if i == 0 then [ ] else [ (i - 1) (i / 2) (i / 3) ]);
    src = if mod i 4 == 0 then elemAt fetched (mod (i / 4) 8) else null;
    patches = if mod i 6 == 0 then [ (toFile "fix-${toString i}.patch" "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-${toString i}\n+0\n") ] else [ ];
    configureFlags = [ "--prefix=${placeholder "out"}" "--disable-nls" ];
    enableParallelBuilding = true;
    doCheck = false;
    phases = "unpackPhase\n\tbuildPhase \"quoted\" \\ $out\r\n";
    meta = null;
  } // (if mod i 5 == 0 then { outputs = [ "out" "dev" "doc" ]; } else { })
    // (if mod i 11 == 0 then structured else { }));
  packages = genList package count;

  structured = {
    __structuredAttrs = true;
    outputChecks.out.maxSize = 1000000;
    nested = { list = [ 1 2.5 true null "ü \" \\ \n" [ ] { } ]; reference = bash; };
    phases = "";
  };

  # Every kind of fixed output.
  kinds = builtins.concatMap (algorithm: map (mode: { inherit algorithm mode; }) [ "flat" "recursive" ]) [ "md5" "sha1" "sha256" "sha512" ];
  fetched = map ({ algorithm, mode }: make "${algorithm}-${mode}.tar.gz" {
    outputHashMode = mode;
    outputHashAlgo = algorithm;
    outputHash = hashString algorithm mode;
    urls = [ "mirror://gnu/x.tar.gz" "https://example.org/x.tar.gz" ];
    preferLocalBuild = true;
  }) kinds ++ [
    # The algorithm within the hash, in the form of a web page.
    (make "sri" { outputHashMode = "recursive"; outputHashAlgo = null; outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; })
  ];

  # Sources of every shape: folders, flat files, executables, filtered, hashed flat, names that need care.
  sources = {
    flat = tree + "/odd/plain";
    executable = tree + "/odd/run";
    folder = tree + "/odd";
    filtered = builtins.filterSource (path: type: type != "symlink") (tree + "/odd");
    fixed = builtins.path { name = "hashed-flat"; path = tree + "/odd/plain"; recursive = false; };
    named = builtins.path { name = "A+b_c?d=.e-1.0"; path = tree + "/odd/plain"; };
    empty = builtins.path { name = "empty"; path = tree + "/odd/nothing"; };
    bytes = toFile "latin1" (builtins.readFile (tree + "/odd/latin1"));
  };

  # Import from derivation: built while this is evaluated.
  written = make "written.nix" { args = [ "-c" "echo '{ answer = 42; }' > $out" ]; };
  answer = (import written).answer;
in
rec {
  small = make "small" (sources // { inherit packages answer; latin1 = builtins.readFile (tree + "/odd/latin1"); });
  # With a tree of 50,000 files, as a flake system has one.
  all = make "all" { inherit small; registry = toFile "registry.json" "{ \"nixpkgs\": \"${builtins.path { name = "source"; path = tree; }}\" }\n"; };
  # An output among the sources: no content address proves it.
  trusting = make "trusting" { inherit small; source = builtins.storePath (toString written); inherit written; };
}
