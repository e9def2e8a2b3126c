//! GRUB, by the grub.cfg that NixOS writes (install-grub.pl) and the environment block beside it.

use super::{BootDefault, init_of};
use std::path::{Path, PathBuf};

/// An entry, or a menu of them.
#[derive(Debug, Default)]
struct Item {
    title: String,
    id: Option<String>,
    system: Option<PathBuf>,
    below: Vec<Item>,
}

/// What boots by default. One by a variable that we do not know, or that is no entry of NixOS, is not checked.
pub(super) fn boot_default(config: &str, environment: &str) -> BootDefault {
    let value = |line: &str| Some(line.trim().strip_prefix("set default=")?.trim_matches(['"', '\'']).to_owned());
    // The first is of an entry that boots once, `set default="${next_entry}"`.
    let Some(default) = config.lines().filter_map(value).rfind(|value| value != "${next_entry}") else {
        return BootDefault::NotChecked;
    };
    let default = match default.as_str() {
        "${saved_entry}" => variable(environment, "saved_entry").unwrap_or("0").to_owned(),
        other if other.contains('$') => return BootDefault::NotChecked,
        _ => default,
    };
    let items = menu(config);
    find(&items, &default).map_or(BootDefault::NotChecked, |path| BootDefault::System(path.to_owned()))
}

/// A variable of `grubenv`: a header, lines, then `#` up to 1024 bytes.
pub(super) fn variable<'a>(environment: &'a str, name: &str) -> Option<&'a str> {
    let value = environment.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
    Some(value).filter(|value| !value.is_empty())
}

/// Titles of menus and entry of the entry whose kernel line starts `system`, as `grub-reboot` wants them.
pub(super) fn entry(config: &str, system: &Path) -> Option<String> {
    fn below(items: &[Item], system: &Path) -> Option<String> {
        items.iter().find_map(|item| match below(&item.below, system) {
            Some(rest) => Some(format!("{}>{rest}", item.title)),
            None => (item.system.as_deref() == Some(system)).then(|| item.title.clone()),
        })
    }
    below(&menu(config), system)
}

fn menu(config: &str) -> Vec<Item> {
    // The last is the innermost menu that is open; each other block in it only has to be closed.
    let mut open = vec![Item::default()];
    let mut others = 0_u32;
    for line in config.lines().map(str::trim) {
        if let Some(item) = heading(line) {
            open.push(item);
        } else if line == "}" {
            if others > 0 {
                others -= 1;
            } else if open.len() > 1
                && let (Some(item), Some(around)) = (open.pop(), open.last_mut())
            {
                around.below.push(item);
            }
        } else if line.ends_with('{') {
            others += 1;
        } else if let (Some(system), Some(item)) = (init_of(line), open.last_mut()) {
            item.system.get_or_insert(system);
        }
    }
    open.into_iter().next().unwrap_or_default().below
}

fn heading(line: &str) -> Option<Item> {
    let rest = ["submenu", "menuentry"].into_iter().find_map(|word| line.strip_prefix(word))?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let title = rest.get(1..)?.split(quote).next()?.to_owned();
    let id = rest.split_once("--id ").and_then(|(_, id)| id.split_whitespace().next());
    let id = id.map(|id| id.trim_matches(['"', '\'']).to_owned());
    Some(Item { title, id, ..Item::default() })
}

/// By number, title or id, with those of the menus around it before `>`.
fn find<'a>(items: &'a [Item], wanted: &str) -> Option<&'a Path> {
    let named = |item: &&Item| item.title == wanted || item.id.as_deref() == Some(wanted);
    if let Some(item) = items.iter().find(named).or_else(|| items.get(wanted.parse::<usize>().ok()?)) {
        return item.system.as_deref();
    }
    let (first, rest) = wanted.split_once('>')?;
    let named = |item: &&Item| item.title == first || item.id.as_deref() == Some(first);
    let around = items.iter().find(named).or_else(|| items.get(first.parse::<usize>().ok()?))?;
    find(&around.below, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As install-grub.pl writes it, shortened.
    const CONFIG: &str = r#"
search --set=drive1 --fs-uuid 1234
if [ -s $prefix/grubenv ]; then
  load_env
fi
if [ "${next_entry}" ]; then
  set default="${next_entry}"
  set next_entry=
  save_env next_entry
  set boot_once=true
else
  set default=DEFAULT
  set timeout=5
fi
function savedefault {
    if [ -z "${boot_once}"]; then
    saved_entry="${chosen}"
    save_env saved_entry
    fi
}
menuentry "NixOS" --class nixos --unrestricted {
search --set=drive1 --fs-uuid 1234
  linux ($drive1)/kernels/x-bzImage init=/nix/store/b/init loglevel=4
  initrd ($drive1)/kernels/x-initrd
}
submenu "NixOS - All configurations" --class submenu {
menuentry 'NixOS - Configuration 2 (b)' --class nixos {
  linux ($drive1)/kernels/x-bzImage init=/nix/store/b/init loglevel=4
}
menuentry 'NixOS - Configuration 1 (a)' --id one {
  linux ($drive1)/kernels/x-bzImage init=/nix/store/a/init loglevel=4
}
}
"#;

    fn default(value: &str, environment: &str) -> BootDefault {
        boot_default(&CONFIG.replace("DEFAULT", value), environment)
    }

    fn system(path: &str) -> BootDefault {
        BootDefault::System(path.into())
    }

    #[test]
    fn an_entry_is_named_with_its_menus() {
        assert_eq!(entry(CONFIG, Path::new("/nix/store/b")).as_deref(), Some("NixOS"));
        let inner = entry(CONFIG, Path::new("/nix/store/a"));
        assert_eq!(inner.as_deref(), Some("NixOS - All configurations>NixOS - Configuration 1 (a)"));
        assert_eq!(entry(CONFIG, Path::new("/nix/store/c")), None);
    }

    #[test]
    fn the_default_is_a_number_a_title_or_what_was_saved() {
        assert_eq!(default("0", ""), system("/nix/store/b"));
        assert_eq!(default("\"1>1\"", ""), system("/nix/store/a"));
        assert_eq!(default("\"1>one\"", ""), system("/nix/store/a"));
        assert_eq!(default("'NixOS'", ""), system("/nix/store/b"));
        let saved =
            "# GRUB Environment Block\nsaved_entry=NixOS - All configurations>NixOS - Configuration 1 (a)\n####";
        assert_eq!(default("\"${saved_entry}\"", saved), system("/nix/store/a"));
        assert_eq!(default("\"${saved_entry}\"", "# GRUB Environment Block\nsaved_entry=\n"), system("/nix/store/b"));
        assert_eq!(default("7", ""), BootDefault::NotChecked);
        assert_eq!(default("\"${chosen}\"", ""), BootDefault::NotChecked);
        assert_eq!(boot_default("menuentry 'x' {\n}\n", ""), BootDefault::NotChecked);
    }
}
