//! What nmstate makes of a state.
//!
//! `check FILE…` prints what it refuses, a line each; `keyfiles FILE FOLDER` writes the connections that it would give to
//! NetworkManager; `apply FILE` applies a state as far as it can without NetworkManager, without a comparison afterwards: it would
//! find what that mode leaves out. A name server or a host name would be the machine's own: neither is set.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nmstate::NetworkState;

fn state(path: &str) -> Result<NetworkState, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    NetworkState::new_from_yaml(&text).map_err(|error| error.to_string())
}

fn keyfiles(path: &str) -> Result<Vec<(String, String)>, String> {
    let files = state(path)?.gen_conf().map_err(|error| error.to_string())?;
    Ok(files.into_values().flatten().collect())
}

fn apply(path: &str) -> Result<(), String> {
    let mut state = state(path)?;
    state.dns = None;
    state.hostname = None;
    state.set_kernel_only(true).set_verify_change(false);
    state.apply().map_err(|error| error.to_string())
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["check", ref files @ ..] => {
            for file in files {
                if let Err(error) = keyfiles(file) {
                    println!("{file}: {}", error.replace('\n', " "));
                }
            }
            Ok(())
        }
        ["keyfiles", file, folder] => keyfiles(file).map(|files| {
            for (name, text) in files {
                let path = Path::new(folder).join(name);
                fs::write(&path, text).expect("a folder");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("a file");
            }
        }),
        ["apply", file] => apply(file),
        _ => Err("check FILE…, keyfiles FILE FOLDER or apply FILE".to_owned()),
    };
    if let Err(error) = done {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
