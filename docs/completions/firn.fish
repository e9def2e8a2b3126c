# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_firn_global_optspecs
    string join \n q/quiet v/verbose json color= no-progress max-memory= threads= tmp-dir= base= base-dir= h/help V/version
end

function __fish_firn_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_firn_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_firn_using_subcommand
    set -l cmd (__fish_firn_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c firn -n "__fish_firn_needs_command" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_needs_command" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_needs_command" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_needs_command" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_needs_command" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_needs_command" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_needs_command" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_needs_command" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_needs_command" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_needs_command" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_needs_command" -s V -l version -d 'Print version'
complete -c firn -n "__fish_firn_needs_command" -f -a "pack" -d 'Press a system into a file'
complete -c firn -n "__fish_firn_needs_command" -f -a "inspect" -d 'Show what is in a file'
complete -c firn -n "__fish_firn_needs_command" -f -a "diff" -d 'Show what changes from one system to another'
complete -c firn -n "__fish_firn_needs_command" -f -a "verify" -d 'Decode everything and recompute every path'
complete -c firn -n "__fish_firn_needs_command" -f -a "import" -d 'Bring what a file holds into a store'
complete -c firn -n "__fish_firn_needs_command" -f -a "realise" -d 'Import, then fetch or build the system'
complete -c firn -n "__fish_firn_needs_command" -f -a "realize" -d 'Import, then fetch or build the system'
complete -c firn -n "__fish_firn_needs_command" -f -a "switch" -d 'Run the system of a file, and boot it from now on'
complete -c firn -n "__fish_firn_needs_command" -f -a "boot" -d 'Boot the system of a file from now on; nothing is restarted'
complete -c firn -n "__fish_firn_needs_command" -f -a "test" -d 'Run the system of a file; what boots stays as it is'
complete -c firn -n "__fish_firn_needs_command" -f -a "dry-activate" -d 'Say what a switch would do: its steps, then what the system\'s own script says'
complete -c firn -n "__fish_firn_needs_command" -f -a "confirm" -d 'Make permanent what waits for a confirmation'
complete -c firn -n "__fish_firn_needs_command" -f -a "rollback" -d 'Go back to the generation before, or to another one'
complete -c firn -n "__fish_firn_needs_command" -f -a "generations" -d 'List the generations of the profile, and which file each came from'
complete -c firn -n "__fish_firn_needs_command" -f -a "status" -d 'Say what runs, what boots next, and how the last activation stands'
complete -c firn -n "__fish_firn_needs_command" -f -a "recover" -d 'Finish or undo what a power cut or a killed process left half done'
complete -c firn -n "__fish_firn_needs_command" -f -a "prune" -d 'Delete records and roots of generations that are gone, old journals and copies of the binary'
complete -c firn -n "__fish_firn_needs_command" -f -a "convert" -d 'Turn a stock stream into a firn file, or back'
complete -c firn -n "__fish_firn_needs_command" -f -a "__activate" -d 'Has an activation in hand; runs in a unit of its own'
complete -c firn -n "__fish_firn_needs_command" -f -a "__script" -d 'Runs a script and writes down how it ended; runs in the script\'s unit'
complete -c firn -n "__fish_firn_using_subcommand pack" -s o -l output -d 'The file to write, - for standard output' -r -F
complete -c firn -n "__fish_firn_using_subcommand pack" -s f -l file -d 'Evaluate this file; <nixpkgs/nixos> works too' -r -F
complete -c firn -n "__fish_firn_using_subcommand pack" -s A -l attr -d 'Take this attribute of the file' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l store -d 'Read from this store: a daemon, or local?root=DIR' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l max-size -d 'Refuse to write more bytes than this' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l keep -d 'Keep the derivation here under this name, so that a later delta finds it' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l base-name -d 'Write a delta against what pack --keep NAME kept here last' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l base-host -d 'Write a delta against what this host runs: it is asked over ssh, and its .drv must be in this store' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l machine-id -d 'The file is for the machine with this /etc/machine-id: firn switch refuses it on another' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -s I -l include -d 'Add to the search path' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l arg -d 'An argument of the expression' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l argstr -d 'An argument of the expression that is a string' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l option -d 'Set an option of Nix' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l override-input -d 'Take another flake for an input' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand pack" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand pack" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand pack" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand pack" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand pack" -l low-memory -d 'Write a file that is decoded in 40 MB of memory'
complete -c firn -n "__fish_firn_using_subcommand pack" -l provenance -d 'Record the flake, its lock and its revision, without credentials'
complete -c firn -n "__fish_firn_using_subcommand pack" -l impure -d 'Allow what a pure evaluation may not'
complete -c firn -n "__fish_firn_using_subcommand pack" -l offline -d 'Fetch nothing'
complete -c firn -n "__fish_firn_using_subcommand pack" -l refresh -d 'Fetch again what was fetched'
complete -c firn -n "__fish_firn_using_subcommand pack" -l accept-flake-config -d 'Take the settings that the flake asks for'
complete -c firn -n "__fish_firn_using_subcommand pack" -l no-write-lock-file -d 'Leave the lock file as it is'
complete -c firn -n "__fish_firn_using_subcommand pack" -l show-trace -d 'Show where an evaluation error comes from'
complete -c firn -n "__fish_firn_using_subcommand pack" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand pack" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand pack" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand pack" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand pack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand inspect" -l derivation -d 'Print derivations, laid out; with --json as nix derivation show, with --cat byte for byte' -r
complete -c firn -n "__fish_firn_using_subcommand inspect" -l source -d 'List the files of sources; with --cat print their contents' -r
complete -c firn -n "__fish_firn_using_subcommand inspect" -l tree -d 'Show why a path is in the file: the shortest way to it from the root' -r
complete -c firn -n "__fish_firn_using_subcommand inspect" -l sort -d 'How --sources and --source sort' -r -f -a "size\t'The largest first'
path\t'By path'"
complete -c firn -n "__fish_firn_using_subcommand inspect" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand inspect" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand inspect" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand inspect" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand inspect" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand inspect" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand inspect" -l cat -d 'Print contents as they are'
complete -c firn -n "__fish_firn_using_subcommand inspect" -l sources -d 'List every file that travels, with its size'
complete -c firn -n "__fish_firn_using_subcommand inspect" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand inspect" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand inspect" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand inspect" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand inspect" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand diff" -l source -d 'Show what changed in sources, line by line' -r
complete -c firn -n "__fish_firn_using_subcommand diff" -l why -d 'Show the way from the root to something, and what on it changed' -r
complete -c firn -n "__fish_firn_using_subcommand diff" -l store -d 'The store that has the derivations' -r
complete -c firn -n "__fish_firn_using_subcommand diff" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand diff" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand diff" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand diff" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand diff" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand diff" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand diff" -l exit-code -d 'End with 1 where there is a difference, as git diff does'
complete -c firn -n "__fish_firn_using_subcommand diff" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand diff" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand diff" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand diff" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand verify" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand verify" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand verify" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand verify" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand verify" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand verify" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand verify" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand verify" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand verify" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand verify" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand import" -l store -d 'A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]' -r
complete -c firn -n "__fish_firn_using_subcommand import" -l root -d 'Write into the store below DIR directly, without Nix' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand import" -l expect -d 'Refuse any file but the one with this root: a .drv path, or a file that holds it' -r
complete -c firn -n "__fish_firn_using_subcommand import" -s o -l out-link -d 'Where the GC root goes' -r -F
complete -c firn -n "__fish_firn_using_subcommand import" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand import" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand import" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand import" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand import" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand import" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand import" -l no-root -d 'Make no GC root: the next collection may delete what was imported'
complete -c firn -n "__fish_firn_using_subcommand import" -l dry-run -d 'Say what would be done, and write nothing'
complete -c firn -n "__fish_firn_using_subcommand import" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand import" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand import" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand import" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand import" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand realise" -l store -d 'A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]' -r
complete -c firn -n "__fish_firn_using_subcommand realise" -l root -d 'Write into the store below DIR directly, without Nix' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand realise" -l expect -d 'Refuse any file but the one with this root: a .drv path, or a file that holds it' -r
complete -c firn -n "__fish_firn_using_subcommand realise" -s o -l out-link -d 'Where the GC root goes' -r -F
complete -c firn -n "__fish_firn_using_subcommand realise" -s j -l max-jobs -d 'Builds at the same time' -r
complete -c firn -n "__fish_firn_using_subcommand realise" -l cores -d 'Processors for each build' -r
complete -c firn -n "__fish_firn_using_subcommand realise" -l option -d 'Set an option of Nix' -r
complete -c firn -n "__fish_firn_using_subcommand realise" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand realise" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand realise" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand realise" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand realise" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand realise" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand realise" -l no-root -d 'Make no GC root'
complete -c firn -n "__fish_firn_using_subcommand realise" -l dry-run -d 'Say what would be built and fetched, and do nothing'
complete -c firn -n "__fish_firn_using_subcommand realise" -l no-build -d 'Only fetch; refuse when something must be built'
complete -c firn -n "__fish_firn_using_subcommand realise" -s L -l print-build-logs -d 'Print the lines of build logs'
complete -c firn -n "__fish_firn_using_subcommand realise" -s k -l keep-going -d 'Go on with other builds after one failed'
complete -c firn -n "__fish_firn_using_subcommand realise" -l fallback -d 'Build what cannot be fetched'
complete -c firn -n "__fish_firn_using_subcommand realise" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand realise" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand realise" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand realise" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand realise" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand realize" -l store -d 'A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]' -r
complete -c firn -n "__fish_firn_using_subcommand realize" -l root -d 'Write into the store below DIR directly, without Nix' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand realize" -l expect -d 'Refuse any file but the one with this root: a .drv path, or a file that holds it' -r
complete -c firn -n "__fish_firn_using_subcommand realize" -s o -l out-link -d 'Where the GC root goes' -r -F
complete -c firn -n "__fish_firn_using_subcommand realize" -s j -l max-jobs -d 'Builds at the same time' -r
complete -c firn -n "__fish_firn_using_subcommand realize" -l cores -d 'Processors for each build' -r
complete -c firn -n "__fish_firn_using_subcommand realize" -l option -d 'Set an option of Nix' -r
complete -c firn -n "__fish_firn_using_subcommand realize" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand realize" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand realize" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand realize" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand realize" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand realize" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand realize" -l no-root -d 'Make no GC root'
complete -c firn -n "__fish_firn_using_subcommand realize" -l dry-run -d 'Say what would be built and fetched, and do nothing'
complete -c firn -n "__fish_firn_using_subcommand realize" -l no-build -d 'Only fetch; refuse when something must be built'
complete -c firn -n "__fish_firn_using_subcommand realize" -s L -l print-build-logs -d 'Print the lines of build logs'
complete -c firn -n "__fish_firn_using_subcommand realize" -s k -l keep-going -d 'Go on with other builds after one failed'
complete -c firn -n "__fish_firn_using_subcommand realize" -l fallback -d 'Build what cannot be fetched'
complete -c firn -n "__fish_firn_using_subcommand realize" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand realize" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand realize" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand realize" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand realize" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand switch" -l store -d 'A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l root -d 'Write into the store below DIR directly, without Nix' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand switch" -l expect -d 'Refuse any file but the one with this root: a .drv path, or a file that holds it' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -s j -l max-jobs -d 'Builds at the same time' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l cores -d 'Processors for each build' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l option -d 'Set an option of Nix' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l settle -d 'For so long no unit may fail; 5s without it' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l activation-timeout -d 'Longest time that the system\'s script may take; 10m without it' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l check -d 'A shell command that has to succeed in the new system' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l allow-failed -d 'Units that may fail; * and ? stand for characters' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -s p -l profile-name -d 'Another profile than system' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -s c -l specialisation -d 'Run this specialisation of it; what boots is the system itself' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l elevate -d 'Become root for the activation; import and build run as the caller' -r -f -a "none\t'None'
sudo\t'sudo, with `NIX_SUDOOPTS`'
run0\t'run0 of systemd'"
complete -c firn -n "__fish_firn_using_subcommand switch" -l variable -d 'A variable that whoever became root had' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l began -d 'Who became root hears here that it is done' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l origin -d 'Name of the file, for the record' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l confirm-within -d 'Revert unless firn confirm is run within this time; the command ends when the system is healthy' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand switch" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand switch" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand switch" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand switch" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand switch" -l no-build -d 'Only fetch; refuse when something must be built'
complete -c firn -n "__fish_firn_using_subcommand switch" -s L -l print-build-logs -d 'Print the lines of build logs'
complete -c firn -n "__fish_firn_using_subcommand switch" -s k -l keep-going -d 'Go on with other builds after one failed'
complete -c firn -n "__fish_firn_using_subcommand switch" -l fallback -d 'Build what cannot be fetched'
complete -c firn -n "__fish_firn_using_subcommand switch" -l no-specialisation -d 'Run no specialisation, even if one runs now'
complete -c firn -n "__fish_firn_using_subcommand switch" -l install-bootloader -d 'Install the boot loader itself, not only its entries'
complete -c firn -n "__fish_firn_using_subcommand switch" -l dry-run -d 'Print the steps, and do nothing'
complete -c firn -n "__fish_firn_using_subcommand switch" -l force-host -d 'Take a system that is for another host'
complete -c firn -n "__fish_firn_using_subcommand switch" -l force-system -d 'Take a system that is for another kind of machine'
complete -c firn -n "__fish_firn_using_subcommand switch" -l wait-confirm -d 'Wait for the confirmation, or the revert'
complete -c firn -n "__fish_firn_using_subcommand switch" -l no-confirm -d 'Ask for no confirmation, even over ssh'
complete -c firn -n "__fish_firn_using_subcommand switch" -l over-ssh -d 'The caller came over ssh'
complete -c firn -n "__fish_firn_using_subcommand switch" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand switch" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand switch" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand switch" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand switch" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand boot" -l store -d 'A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l root -d 'Write into the store below DIR directly, without Nix' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand boot" -l expect -d 'Refuse any file but the one with this root: a .drv path, or a file that holds it' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -s j -l max-jobs -d 'Builds at the same time' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l cores -d 'Processors for each build' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l option -d 'Set an option of Nix' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l settle -d 'For so long no unit may fail; 5s without it' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l activation-timeout -d 'Longest time that the system\'s script may take; 10m without it' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l check -d 'A shell command that has to succeed in the new system' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l allow-failed -d 'Units that may fail; * and ? stand for characters' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -s p -l profile-name -d 'Another profile than system' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -s c -l specialisation -d 'Run this specialisation of it; what boots is the system itself' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l elevate -d 'Become root for the activation; import and build run as the caller' -r -f -a "none\t'None'
sudo\t'sudo, with `NIX_SUDOOPTS`'
run0\t'run0 of systemd'"
complete -c firn -n "__fish_firn_using_subcommand boot" -l variable -d 'A variable that whoever became root had' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l began -d 'Who became root hears here that it is done' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l origin -d 'Name of the file, for the record' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand boot" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand boot" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand boot" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand boot" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand boot" -l no-build -d 'Only fetch; refuse when something must be built'
complete -c firn -n "__fish_firn_using_subcommand boot" -s L -l print-build-logs -d 'Print the lines of build logs'
complete -c firn -n "__fish_firn_using_subcommand boot" -s k -l keep-going -d 'Go on with other builds after one failed'
complete -c firn -n "__fish_firn_using_subcommand boot" -l fallback -d 'Build what cannot be fetched'
complete -c firn -n "__fish_firn_using_subcommand boot" -l no-specialisation -d 'Run no specialisation, even if one runs now'
complete -c firn -n "__fish_firn_using_subcommand boot" -l install-bootloader -d 'Install the boot loader itself, not only its entries'
complete -c firn -n "__fish_firn_using_subcommand boot" -l dry-run -d 'Print the steps, and do nothing'
complete -c firn -n "__fish_firn_using_subcommand boot" -l force-host -d 'Take a system that is for another host'
complete -c firn -n "__fish_firn_using_subcommand boot" -l force-system -d 'Take a system that is for another kind of machine'
complete -c firn -n "__fish_firn_using_subcommand boot" -l once -d 'Boot it once; every later boot is of the previous system until it is confirmed'
complete -c firn -n "__fish_firn_using_subcommand boot" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand boot" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand boot" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand boot" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand boot" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand test" -l store -d 'A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l root -d 'Write into the store below DIR directly, without Nix' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand test" -l expect -d 'Refuse any file but the one with this root: a .drv path, or a file that holds it' -r
complete -c firn -n "__fish_firn_using_subcommand test" -s j -l max-jobs -d 'Builds at the same time' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l cores -d 'Processors for each build' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l option -d 'Set an option of Nix' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l settle -d 'For so long no unit may fail; 5s without it' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l activation-timeout -d 'Longest time that the system\'s script may take; 10m without it' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l check -d 'A shell command that has to succeed in the new system' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l allow-failed -d 'Units that may fail; * and ? stand for characters' -r
complete -c firn -n "__fish_firn_using_subcommand test" -s p -l profile-name -d 'Another profile than system' -r
complete -c firn -n "__fish_firn_using_subcommand test" -s c -l specialisation -d 'Run this specialisation of it; what boots is the system itself' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l elevate -d 'Become root for the activation; import and build run as the caller' -r -f -a "none\t'None'
sudo\t'sudo, with `NIX_SUDOOPTS`'
run0\t'run0 of systemd'"
complete -c firn -n "__fish_firn_using_subcommand test" -l variable -d 'A variable that whoever became root had' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l began -d 'Who became root hears here that it is done' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l origin -d 'Name of the file, for the record' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l confirm-within -d 'Revert unless firn confirm is run within this time; the command ends when the system is healthy' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand test" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand test" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand test" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand test" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand test" -l no-build -d 'Only fetch; refuse when something must be built'
complete -c firn -n "__fish_firn_using_subcommand test" -s L -l print-build-logs -d 'Print the lines of build logs'
complete -c firn -n "__fish_firn_using_subcommand test" -s k -l keep-going -d 'Go on with other builds after one failed'
complete -c firn -n "__fish_firn_using_subcommand test" -l fallback -d 'Build what cannot be fetched'
complete -c firn -n "__fish_firn_using_subcommand test" -l no-specialisation -d 'Run no specialisation, even if one runs now'
complete -c firn -n "__fish_firn_using_subcommand test" -l install-bootloader -d 'Install the boot loader itself, not only its entries'
complete -c firn -n "__fish_firn_using_subcommand test" -l dry-run -d 'Print the steps, and do nothing'
complete -c firn -n "__fish_firn_using_subcommand test" -l force-host -d 'Take a system that is for another host'
complete -c firn -n "__fish_firn_using_subcommand test" -l force-system -d 'Take a system that is for another kind of machine'
complete -c firn -n "__fish_firn_using_subcommand test" -l wait-confirm -d 'Wait for the confirmation, or the revert'
complete -c firn -n "__fish_firn_using_subcommand test" -l no-confirm -d 'Ask for no confirmation, even over ssh'
complete -c firn -n "__fish_firn_using_subcommand test" -l over-ssh -d 'The caller came over ssh'
complete -c firn -n "__fish_firn_using_subcommand test" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand test" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand test" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand test" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l store -d 'A store: auto, daemon, unix://PATH, local?root=DIR, ssh-ng://[USER@]HOST[:PORT]' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l root -d 'Write into the store below DIR directly, without Nix' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l expect -d 'Refuse any file but the one with this root: a .drv path, or a file that holds it' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s j -l max-jobs -d 'Builds at the same time' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l cores -d 'Processors for each build' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l option -d 'Set an option of Nix' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l settle -d 'For so long no unit may fail; 5s without it' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l activation-timeout -d 'Longest time that the system\'s script may take; 10m without it' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l check -d 'A shell command that has to succeed in the new system' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l allow-failed -d 'Units that may fail; * and ? stand for characters' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s p -l profile-name -d 'Another profile than system' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s c -l specialisation -d 'Run this specialisation of it; what boots is the system itself' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l elevate -d 'Become root for the activation; import and build run as the caller' -r -f -a "none\t'None'
sudo\t'sudo, with `NIX_SUDOOPTS`'
run0\t'run0 of systemd'"
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l variable -d 'A variable that whoever became root had' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l began -d 'Who became root hears here that it is done' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l origin -d 'Name of the file, for the record' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l confirm-within -d 'Revert unless firn confirm is run within this time; the command ends when the system is healthy' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l no-build -d 'Only fetch; refuse when something must be built'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s L -l print-build-logs -d 'Print the lines of build logs'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s k -l keep-going -d 'Go on with other builds after one failed'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l fallback -d 'Build what cannot be fetched'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l no-specialisation -d 'Run no specialisation, even if one runs now'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l install-bootloader -d 'Install the boot loader itself, not only its entries'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l dry-run -d 'Print the steps, and do nothing'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l force-host -d 'Take a system that is for another host'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l force-system -d 'Take a system that is for another kind of machine'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l wait-confirm -d 'Wait for the confirmation, or the revert'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l no-confirm -d 'Ask for no confirmation, even over ssh'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l over-ssh -d 'The caller came over ssh'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand dry-activate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand confirm" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand confirm" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand confirm" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand confirm" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand confirm" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand confirm" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand confirm" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand confirm" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand confirm" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand confirm" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand confirm" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l to -d 'The generation\'s number, or a path of its system' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l settle -d 'For so long no unit may fail; 5s without it' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l activation-timeout -d 'Longest time that the system\'s script may take; 10m without it' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l check -d 'A shell command that has to succeed in the new system' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l allow-failed -d 'Units that may fail; * and ? stand for characters' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -s p -l profile-name -d 'Another profile than system' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -s c -l specialisation -d 'Run this specialisation of it; what boots is the system itself' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l elevate -d 'Become root for the activation; import and build run as the caller' -r -f -a "none\t'None'
sudo\t'sudo, with `NIX_SUDOOPTS`'
run0\t'run0 of systemd'"
complete -c firn -n "__fish_firn_using_subcommand rollback" -l variable -d 'A variable that whoever became root had' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l began -d 'Who became root hears here that it is done' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l confirm-within -d 'Revert unless firn confirm is run within this time; the command ends when the system is healthy' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand rollback" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand rollback" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand rollback" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand rollback" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand rollback" -l no-specialisation -d 'Run no specialisation, even if one runs now'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l install-bootloader -d 'Install the boot loader itself, not only its entries'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l dry-run -d 'Print the steps, and do nothing'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l wait-confirm -d 'Wait for the confirmation, or the revert'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l no-confirm -d 'Ask for no confirmation, even over ssh'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l over-ssh -d 'The caller came over ssh'
complete -c firn -n "__fish_firn_using_subcommand rollback" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand rollback" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand rollback" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand rollback" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand generations" -s p -l profile-name -d 'Another profile than system' -r
complete -c firn -n "__fish_firn_using_subcommand generations" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand generations" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand generations" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand generations" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand generations" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand generations" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand generations" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand generations" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand generations" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand generations" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand generations" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand status" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand status" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand status" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand status" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand status" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand status" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand status" -l log -d 'Print its log too'
complete -c firn -n "__fish_firn_using_subcommand status" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand status" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand status" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand status" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand recover" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand recover" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand recover" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand recover" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand recover" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand recover" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand recover" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand recover" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand recover" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand recover" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand recover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand prune" -s p -l profile-name -d 'Another profile than system' -r
complete -c firn -n "__fish_firn_using_subcommand prune" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand prune" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand prune" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand prune" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand prune" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand prune" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand prune" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand prune" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand prune" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand prune" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand prune" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand convert" -l to -d 'The format to write, whatever OUT is called' -r -f -a "firn\t'A firn file'
export\t'A stream of nix-store --export'
export.gz\t'The same, gzip-compressed'
export.xz\t'The same, xz-compressed'
export.zst\t'The same, zstd-compressed'"
complete -c firn -n "__fish_firn_using_subcommand convert" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand convert" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand convert" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand convert" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand convert" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand convert" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand convert" -l low-memory -d 'Write a file that is decoded in 40 MB of memory'
complete -c firn -n "__fish_firn_using_subcommand convert" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand convert" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand convert" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand convert" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand convert" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand __activate" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand __activate" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand __activate" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand __activate" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand __activate" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand __activate" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand __activate" -l stopped -d 'The unit has ended; if a person stopped it, what it began is put back'
complete -c firn -n "__fish_firn_using_subcommand __activate" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand __activate" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand __activate" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand __activate" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand __activate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c firn -n "__fish_firn_using_subcommand __script" -l color -d 'When to use colours; NO_COLOR is heeded' -r -f -a "auto\t'On a terminal'
always\t'Everywhere'
never\t'Nowhere'"
complete -c firn -n "__fish_firn_using_subcommand __script" -l max-memory -d 'Refuse input that needs more memory to decode' -r
complete -c firn -n "__fish_firn_using_subcommand __script" -l threads -d 'Threads for encoding and decoding; the result does not depend on it' -r
complete -c firn -n "__fish_firn_using_subcommand __script" -l tmp-dir -d 'Folder for contents that must be put aside, even one in memory' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand __script" -l base -d 'An earlier file, or its .drv in the store: what a delta is made against, or is read with' -r -F
complete -c firn -n "__fish_firn_using_subcommand __script" -l base-dir -d 'Folder of earlier files, among which the base of a delta is looked for' -r -f -a "(__fish_complete_directories)"
complete -c firn -n "__fish_firn_using_subcommand __script" -s q -l quiet -d 'Say nothing but results, warnings and errors'
complete -c firn -n "__fish_firn_using_subcommand __script" -s v -l verbose -d 'Say more; twice, even more'
complete -c firn -n "__fish_firn_using_subcommand __script" -l json -d 'Print results as JSON, and everything else as lines of JSON'
complete -c firn -n "__fish_firn_using_subcommand __script" -l no-progress -d 'Show no progress'
complete -c firn -n "__fish_firn_using_subcommand __script" -s h -l help -d 'Print help (see more with \'--help\')'
