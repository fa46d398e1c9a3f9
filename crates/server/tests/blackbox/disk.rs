//! A disk that is full, or cannot be written to.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tombolo_testkit::eventually::{FOREVER, eventually};
use tombolo_testkit::http::Request;
use tombolo_testkit::served::{Folder, Install, Served};
use tombolo_testkit::tickit::{Device, ago, edited, task};
use tombolo_testkit::transcript::uuid;

use crate::install;

/// Whether this process may make mounts of its own, as root may in most places.
fn can_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]).output();
    let can = tried.is_ok_and(|output| output.status.success());
    if !can {
        // Past the test harness, which shows only what failing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "\n*** SKIPPED: a full disk is not tried here: it takes root, or another way to mount a tmpfs ***\n"
        );
    }
    can
}

/// A server whose data lie on a disk of `bytes`, in a mount namespace of its own. The namespace is reached through the
/// process: `/proc/ID/root`.
fn on_small_disk(folder: &Folder, bytes: usize) -> Served {
    let data = folder.path().join("data");
    std::fs::create_dir_all(&data).unwrap();
    let script = format!("mount -t tmpfs -o size={bytes} tmpfs {} && exec \"$0\" \"$@\"", data.display());
    let install = Install::at(env!("CARGO_BIN_EXE_tombolo"), &data).through(["unshare", "-m", "sh", "-c", &script]);
    install.serve()
}

/// The server's own commands and files, from where its disk is mounted.
fn inside(served: &Served) -> Install {
    let target = format!("--target={}", served.process_id());
    Install::at(env!("CARGO_BIN_EXE_tombolo"), served.install.data()).through(["nsenter", &target, "-m"])
}

fn run_inside(served: &Served, script: &str) {
    let target = format!("--target={}", served.process_id());
    let output = Command::new("nsenter").args([&target, "-m", "sh", "-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}

fn large(n: usize, inbox: &str) -> Value {
    let name = uuid(&format!("t{n}"));
    edited(&task(&name, &format!("Task {n}"), inbox, ""), "description", "d".repeat(100_000), &ago(600))
}

#[test]
fn a_full_disk_loses_nothing_and_is_left_behind_without_a_restart() {
    if !can_mount() {
        return;
    }
    let folder = Folder::new();
    let served = on_small_disk(&folder, 12 * 1024 * 1024);
    let mut device = Device::new("anne", &inside(&served).token("phone"));
    let inbox = device.inbox.clone();
    // Room that can be made again.
    let ballast = served.install.data().join("ballast").display().to_string();
    run_inside(&served, &format!("head -c 4000000 /dev/zero > {ballast}"));
    let mut acknowledged = 0;
    let refused = loop {
        let response = device.send(&served, &[large(acknowledged, &inbox)]);
        if response.status != 200 {
            break response;
        }
        acknowledged += 1;
        assert!(acknowledged < 1_000, "the disk does not fill");
    };
    assert!([503, 507].contains(&refused.status), "{}: {}", refused.status, refused.text());
    assert!(refused.header("retry-after").is_some());
    assert!(refused.json()["error"].as_str().unwrap().contains("disk"));
    assert!(acknowledged > 0);
    served.logged(&["full"]);
    // It still reads, what can be read: the process lives.
    assert_eq!(served.send(&Request::get("/health")).status, 200);
    run_inside(&served, &format!("rm {ballast}"));
    eventually("it takes writes again", FOREVER, || {
        let response = device.send(&served, &[large(acknowledged, &inbox)]);
        (response.status == 200).then_some(())
    });
    eventually("it is ready again", FOREVER, || (served.send(&Request::get("/ready")).status == 200).then_some(()));
    device.id = uuid("reader");
    let mut count = 0;
    loop {
        let reply = device.sync(&served, &[]);
        count += reply.of_type("task").count();
        if !reply.more {
            break;
        }
    }
    assert_eq!(count, acknowledged + 1, "every acknowledged task, and the one that came when there was room");
    assert_eq!(inside(&served).json(&["check"])["ok"], true);
}

#[test]
fn a_disk_that_refuses_writes_gives_503_and_recovers() {
    // A limit on the size of files stands for the disk: it takes no root. Its signal would end the process.
    let served = install().through(["env", "--ignore-signal=XFSZ"]).serve();
    let mut device = Device::new("anne", &served.install.token("phone"));
    let inbox = device.inbox.clone();
    device.join(&served, &[task(&uuid("milk"), "Milk", &inbox, &ago(60))]);
    let limit_to = |bytes: &str| {
        let process = format!("--pid={}", served.process_id());
        let limited = Command::new("prlimit").args([&process, &format!("--fsize={bytes}:unlimited")]).status().unwrap();
        assert!(limited.success(), "prlimit, of util-linux, limits a process of one's own");
    };
    limit_to("1");
    let jam = task(&uuid("jam"), "Jam", &inbox, &ago(50));
    for _ in 0..3 {
        let response = device.send(&served, std::slice::from_ref(&jam));
        assert!([503, 507].contains(&response.status), "{}: {}", response.status, response.text());
        assert!(response.json()["error"].as_str().unwrap().contains("disk"));
    }
    served.logged(&["disk"]);
    assert_eq!(served.send(&Request::get("/ready")).status, 503);
    assert_eq!(served.send(&Request::get("/health")).status, 200);
    limit_to("unlimited");
    eventually("it takes writes again", FOREVER, || {
        (device.send(&served, std::slice::from_ref(&jam)).status == 200).then_some(())
    });
    assert_eq!(served.send(&Request::get("/ready")).status, 200);
    let reply = Device::new("reader", &device.token).sync(&served, &[]);
    assert_eq!(reply.of_type("task").count(), 2);
    assert_eq!(served.install.json(&["check"])["ok"], true);
}

#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    let folder = Folder::new();
    // Not even root can make a folder below a file.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let install = Install::at(env!("CARGO_BIN_EXE_tombolo"), file.join("data"));
    for args in [&["init"][..], &["serve", "--listen", "127.0.0.1:0"], &["token", "--name", "x"]] {
        let complaint = install.refused(args);
        assert!(complaint.contains(&*Path::new(&file).to_string_lossy()), "{args:?}: {complaint}");
    }
}
