//! Publishing to S3 through the binary, on a real S3 server, and the errors when it does not work.

use crate::support::{Ended, Hosted, Workspace, end};
use planforge_testkit::{ADMIN, FaultyProxy, ProxyFault, READER, S3Server, WRITER};

/// A pipeline with one ONNX package, published to `url`.
fn workspace(url: &str) -> Workspace {
    let workspace = Workspace::tiny();
    workspace.package_without_engines("[\"onnx\"]");
    workspace.edit("tiny.toml", "precisions = [\"fp32\", \"fp16\"]", "precisions = [\"fp32\"]");
    workspace.edit("tiny.toml", "[load]", &format!("[store]\nurl = \"{url}\"\n\n[load]"));
    workspace
}

/// The program with an identity of the server at `address`.
fn run(workspace: &Workspace, address: &str, identity: Option<(&str, &str)>, arguments: &[&str]) -> Ended {
    let mut command = workspace.command(arguments);
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    if !address.is_empty() {
        command.env("AWS_ENDPOINT_URL_S3", format!("http://{address}"));
    }
    if let Some((key, secret)) = identity {
        command.env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
    }
    end(command)
}

#[test]
fn copies_on_s3_are_published_served_and_deleted() {
    let server = S3Server::start();
    let prefix = "odd (prefix) +é 50%41&=~";
    let workspace = workspace(&format!("s3://models/{prefix}/"));
    let publish = |copies: &str| {
        let arguments = ["publish", "tiny.toml", "--json", "--copies", copies];
        let ended = run(&workspace, &server.address(), Some(ADMIN), &arguments);
        ended.succeeds();
        let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        report["artifacts"].as_array().unwrap().iter().find(|row| row["step"] == "publish").unwrap().clone()
    };
    let row = publish("3");
    assert_eq!(row["path"], format!("s3://models/{prefix}/tiny/onnx-fp32/"));
    assert_eq!(row["outcome"], "built");
    let folder = format!("{prefix}/tiny/onnx-fp32");
    let copies = |count: u32| (0..count).map(|copy| format!("{folder}/tiny-v{copy}.tar.gz")).collect::<Vec<_>>();
    let statement = format!("{folder}/tiny.tar.gz.intoto.json");
    assert_eq!(server.keys(prefix), [copies(3), vec![statement.clone()]].concat());
    let archive = fs_err::read(workspace.path("planforge-out/tiny/archives/onnx-fp32/tiny.tar.gz")).unwrap();
    assert!(copies(3).iter().all(|key| server.get(key).as_ref() == Some(&archive)));
    let said = fs_err::read(workspace.path("planforge-out/tiny/archives/onnx-fp32/tiny.tar.gz.intoto.json")).unwrap();
    assert_eq!(server.get(&statement), Some(said));
    assert_eq!(publish("3")["outcome"], "cached");
    publish("1");
    assert_eq!(server.keys(prefix), [copies(1), vec![statement]].concat());
    // The local endpoint serves what was published.
    let endpoint = (("AWS_ENDPOINT_URL", format!("http://{}", server.address())), ADMIN);
    let hosted = Hosted::start_with(&workspace, "tiny.toml", |command| {
        let ((name, url), (key, secret)) = &endpoint;
        command.env(name, url).env("AWS_ACCESS_KEY_ID", key).env("AWS_SECRET_ACCESS_KEY", secret);
        command.env("AWS_EC2_METADATA_DISABLED", "true");
    });
    let request = serde_json::json!({ "inputs": [
        { "name": "input_ids", "shape": [1, 4], "datatype": "INT64", "data": [1, 2, 3, 4] },
        { "name": "attention_mask", "shape": [1, 4], "datatype": "INT64", "data": [1, 1, 1, 1] },
        { "name": "token_type_ids", "shape": [1, 4], "datatype": "INT64", "data": [0, 0, 0, 0] },
    ] });
    let (status, body) = hosted.invoke("tiny", "tiny-v2.tar.gz", &request);
    assert_eq!(status, 200, "{body}");
    hosted.stop();
    server.put(&format!("{folder}/notes.txt"), b"not ours");
    let listed = run(&workspace, &server.address(), Some(ADMIN), &["unpublish", "tiny.toml", "--dry-run"]);
    listed.succeeds();
    assert!(listed.stdout.contains(&format!("s3://models/{}", copies(1)[0])), "{}", listed.stdout);
    let ended = run(&workspace, &server.address(), Some(ADMIN), &["unpublish", "tiny.toml"]);
    ended.succeeds();
    assert_eq!(ended.stdout, listed.stdout);
    assert_eq!(server.keys(prefix), [format!("{folder}/notes.txt")]);
}

#[test]
fn a_credential_process_runs_once_and_is_reported_when_it_fails() {
    let server = S3Server::start();
    let workspace = workspace("s3://models/x");
    let publish = |script: &str| {
        fs_err::write(workspace.path("give"), format!("#!/bin/sh\necho run >>runs\n{script}\n")).unwrap();
        let config = "[default]\nregion = eu-central-1\ncredential_process = sh give\n";
        fs_err::write(workspace.path("config"), config).unwrap();
        let mut command = workspace.command(&["publish", "tiny.toml"]);
        command.env("AWS_CONFIG_FILE", workspace.path("config")).env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_ENDPOINT_URL_S3", format!("http://{}", server.address()));
        let ended = end(command);
        let runs = fs_err::read_to_string(workspace.path("runs")).unwrap();
        fs_err::remove_file(workspace.path("runs")).unwrap();
        (ended, runs.lines().count())
    };
    let (key, secret) = ADMIN;
    let given = format!(r#"{{ "Version": 1, "AccessKeyId": "{key}", "SecretAccessKey": "{secret}" }}"#);
    let (ended, runs) = publish(&format!("echo '{given}'"));
    ended.succeeds();
    assert_eq!((runs, server.keys("x/").is_empty()), (1, false));
    let (ended, _) = publish("echo no entry >&2; exit 1");
    ended.fails(3, &["credentials", "`s3://models/x/`", "hint: set AWS_PROFILE"]);
}

#[test]
fn copies_that_are_there_need_no_right_to_write() {
    let server = S3Server::start();
    let workspace = workspace("s3://models/x");
    let publish_at = |address: &str, identity, copies: &str| {
        run(&workspace, address, Some(identity), &["publish", "tiny.toml", "--copies", copies])
    };
    let publish = |identity, copies: &str| publish_at(&server.address(), identity, copies);
    publish(ADMIN, "3").succeeds();
    let keys = server.keys("x/");
    assert_eq!(keys.len(), 4);
    let proxy = FaultyProxy::start(&server.address(), |_, _| None).unwrap();
    publish_at(&proxy.address(), READER, "3").succeeds();
    let asked = proxy.log();
    assert!(
        asked.len() > 4 && asked.iter().all(|line| ["GET ", "HEAD "].iter().any(|it| line.starts_with(it))),
        "{asked:?}"
    );
    publish(READER, "4").fails(1, &["copying to `s3://models/x/tiny/onnx-fp32/tiny-v3.tar.gz` was denied"]);
    publish(READER, "2").fails(1, &["removing `s3://models/x/tiny/onnx-fp32/tiny-v2.tar.gz` was denied"]);
    let statement = keys.iter().find(|key| key.ends_with(".intoto.json")).unwrap();
    server.put(statement, b"{}");
    publish(READER, "3").fails(1, &["uploading `s3://models/x/tiny/onnx-fp32/tiny.tar.gz.intoto.json` was denied"]);
}

#[test]
fn refusals_of_a_server_are_reported_with_the_next_step() {
    let server = S3Server::start();
    let address = server.address();
    let publish = |url: &str, identity| run(&workspace(url), &address, identity, &["publish", "tiny.toml"]);
    let (models, wrong) = ("s3://models/x", Some((ADMIN.0, "wrong")));
    publish(models, wrong)
        .fails(3, &["for `s3://models/x/` were refused (SignatureDoesNotMatch)", "hint: get new ones"]);
    publish(models, Some(("unknown", "x"))).fails(3, &["were refused (InvalidAccessKeyId)", "AWS_PROFILE"]);
    publish("s3://missing/x", Some(ADMIN)).fails(1, &["bucket `missing` does not exist", "hint: create it"]);
    assert_eq!(server.keys("x/"), [""; 0]);
    let read_only = publish(models, Some(READER));
    read_only.fails(1, &["uploading `s3://models/x/tiny/onnx-fp32/tiny-v0.tar.gz` was denied", "s3:PutObject"]);
    // One that may write and not read cannot have copies made; what it has written stays whole.
    let write_only = publish("s3://models/y", Some(WRITER));
    write_only.fails(1, &["copying to `s3://models/y/tiny/onnx-fp32/tiny-v", "was denied", "s3:GetObject"]);
    assert_eq!(server.keys("y/"), ["y/tiny/onnx-fp32/tiny-v0.tar.gz"]);
    assert_eq!(server.unfinished(), [""; 0]);
}

#[test]
fn responses_of_aws_that_no_local_server_gives_are_understood() {
    let expired = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
    let redirect = "<Error><Code>PermanentRedirect</Code><Message>Use the specified endpoint.</Message></Error>";
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>The region 'us-east-1' is wrong</Message>\
                     <Region>eu-west-3</Region></Error>";
    let header = "x-amz-bucket-region: ap-south-1\r\n";
    for (status, headers, body, code, words) in [
        (
            "400 Bad Request",
            "",
            expired,
            3,
            ["refused (ExpiredToken): The provided token has expired", "aws sso login"],
        ),
        ("301 Moved", header, redirect, 1, ["`models` is in region `ap-south-1`, not in `us-east-1`", "store.region"]),
        ("400 Bad Request", "", malformed, 1, ["`models` is in region `eu-west-3`", "AWS_REGION"]),
    ] {
        // There is no server behind the proxy, which answers everything itself.
        let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let behind = unused.local_addr().unwrap().to_string();
        let proxy = FaultyProxy::start(&behind, move |_, _| Some(ProxyFault::Answer(status, headers, body))).unwrap();
        let workspace = workspace("s3://models/x");
        run(&workspace, &proxy.address(), Some(ADMIN), &["publish", "tiny.toml"]).fails(code, &words);
        assert!(!workspace.path("planforge-out/tiny").exists(), "it is found before anything is made");
    }
}

#[test]
fn a_folder_that_cannot_exist_is_reported_before_anything_is_built() {
    let workspace = workspace("file:///etc/hostname/x");
    let ended = workspace.planforge(&["publish", "tiny.toml"]);
    ended.fails(2, &["key `store.url`", "`file:///etc/hostname/x/`: `/etc/hostname` is not a folder"]);
    assert!(!workspace.path("planforge-out").exists());
}

#[test]
fn stores_that_do_not_answer_are_reported_with_the_next_step() {
    let publish = |url: &str, address: &str, identity| {
        let workspace = workspace(url);
        let ended = run(&workspace, address, identity, &["publish", "tiny.toml"]);
        assert!(!workspace.path("planforge-out/tiny").exists(), "it is found before anything is made");
        ended
    };
    publish("s3://models/x", "", Some(ADMIN))
        .fails(3, &["no AWS region is known for `s3://models/x/`", "store.region"]);
    let unused = "127.0.0.1:9";
    publish("s3://models", unused, None).fails(3, &["no AWS credentials for `s3://models/`", "AWS_ACCESS_KEY_ID"]);
    publish("s3://models", unused, Some(ADMIN)).fails(1, &["listing `s3://models/` failed", "Connection refused"]);
    publish("s3://Models/x", unused, Some(ADMIN)).fails(2, &["key `store.url`", "invalid bucket name `Models`"]);
    publish("gs://models/x", unused, Some(ADMIN)).fails(2, &["scheme `gs` is not supported", "s3://bucket/prefix"]);
    let workspace = workspace("file:///x\"\nregion = \"eu-central-1");
    run(&workspace, "", None, &["publish", "tiny.toml"]).fails(2, &["key `store.region`", "s3://bucket/prefix"]);
    run(&workspace, "", None, &["unpublish", "nowhere.toml"]).fails(2, &["`nowhere.toml` does not exist"]);
}

#[test]
fn checksums_are_off_where_they_are_for_awss_own_tools() {
    let server = S3Server::start();
    let heads = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&heads);
    let proxy = FaultyProxy::start(&server.address(), move |_, head| {
        seen.lock().unwrap().push(head.to_lowercase());
        None
    });
    let address = proxy.unwrap().address();
    let publish = |key: &str, variable: Option<&str>| {
        let workspace = workspace(&format!("s3://models/x\"{key}\nregion = \"eu-central-1"));
        let mut command = workspace.command(&["publish", "tiny.toml", "--quiet"]);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_ENDPOINT_URL_S3", format!("http://{address}"));
        command.env("AWS_ACCESS_KEY_ID", ADMIN.0).env("AWS_SECRET_ACCESS_KEY", ADMIN.1);
        command.envs(variable.map(|value| ("AWS_REQUEST_CHECKSUM_CALCULATION", value)));
        end(command).succeeds();
        run(&workspace, &server.address(), Some(ADMIN), &["unpublish", "tiny.toml"]).succeeds();
        let heads = std::mem::take(&mut *heads.lock().unwrap());
        heads.iter().any(|head| head.starts_with("put") && head.contains("x-amz-checksum-"))
    };
    assert!(publish("", None));
    assert!(!publish("", Some("when_required")));
    assert!(publish("\nchecksums = \"required\"", Some("when_required")));
    assert!(!publish("\nchecksums = \"off\"", None));
}
