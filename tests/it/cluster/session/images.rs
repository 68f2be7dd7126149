//! Images for sessions, made from programs of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use crate::cluster::harness::kubeconfig;
use crate::fake_api::Folder;

/// Serves port 8080, and ends when it is told to.
const IDE: &str = "trap exit TERM; python3 -m http.server 8080 --directory /tmp & wait";

/// Makes the images with Python that documents and examples name. False where the tests run in a cluster that they were given: it gets no images.
pub fn python() -> bool {
    static MADE: OnceLock<bool> = OnceLock::new();
    *MADE.get_or_init(|| {
        let image = Folder::new();
        let root = &image.0;
        program("/usr/bin/python3", root);
        symlink("python3", root.join("usr/bin/python")).unwrap();
        let library = "import sysconfig; print(sysconfig.get_path('stdlib'))";
        let library = run(Command::new("/usr/bin/python3").args(["-c", library]));
        let to = root.join(&library[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        run(Command::new("cp").args(["-rL", &library]).arg(&to));
        for large in ["test", "dist-packages"] {
            let _ = fs::remove_dir_all(to.join(large));
        }
        fs::create_dir(root.join("bin")).unwrap();
        let busybox = run(Command::new("sh").args(["-c", "command -v busybox"]));
        fs::copy(busybox, root.join("bin/busybox")).unwrap();
        for applet in ["sh", "cat", "ls", "ps", "tar"] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        load("python:3.11-slim,python:3,ide:3", root, &["/bin/sh", "-c", IDE])
    })
}

/// Makes the image with this build of podlife that the CronJob names.
pub fn podlife() -> bool {
    let image = Folder::new();
    let built = env!("CARGO_BIN_EXE_kubectl-podlife");
    program(built, &image.0);
    let at_root = image.0.join("kubectl-podlife");
    fs::rename(image.0.join(&built[1..]), at_root).unwrap();
    load("kubectl-podlife:1", &image.0, &["/kubectl-podlife"])
}

/// Makes an image with tini, dumb-init and a shell.
pub fn inits() -> bool {
    let image = Folder::new();
    for path in ["/usr/bin/tini", "/usr/bin/dumb-init", "/bin/busybox"] {
        assert!(
            Path::new(path).exists(),
            "{path} is missing: install the Debian packages tini, dumb-init and busybox-static"
        );
        program(path, &image.0);
    }
    for applet in ["sh", "sleep"] {
        symlink("busybox", image.0.join("bin").join(applet)).unwrap();
    }
    load("podlife.test/inits:1", &image.0, &[])
}

/// Copies a program and its libraries into the folder of an image.
fn program(path: &str, root: &Path) {
    let libraries = Command::new("ldd").arg(path).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    let paths = libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/') && *word != format!("{path}:"));
    for file in paths.chain([path]) {
        let to = root.join(&file[1..]);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}

fn load(names: &str, root: &Path, entrypoint: &[&str]) -> bool {
    // Without any cluster this fails, like every other test of one.
    kubeconfig();
    let Some(cluster) = std::env::var_os("PODLIFE_TEST_CLUSTER") else {
        return false;
    };
    run(Command::new(cluster).args(["image", names]).arg(root).args(entrypoint));
    true
}

/// Runs a command; what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
