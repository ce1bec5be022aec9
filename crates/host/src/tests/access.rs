//! Who is answered, and several endpoints at one address.

use super::{Folders, Served, UNLIMITED, api_error, embed_request, options};
use crate::{Error, Front, Host, HostOptions};
use planforge_core::{AccessToken, EndpointState, TARGET_MODEL_HEADER};
use reqwest::header::{AUTHORIZATION, HOST};
use serde_json::Value;
use std::time::Duration;
use tokio::sync::oneshot;

const SECRET: &str = "0123456789abcdef";

fn token() -> AccessToken {
    AccessToken::try_from(SECRET.to_owned()).unwrap()
}

#[tokio::test]
async fn without_a_token_only_names_of_this_machine_are_answered() {
    let folders = Folders::new();
    folders.publish("m.tar.gz", "embed", 4);
    let served = Served::start(&folders, UNLIMITED).await;
    let request = |host: &str| served.post("m.tar.gz").header(HOST, host).body(embed_request().to_string());
    assert_eq!(request("localhost:8080").send().await.unwrap().status(), 200);
    let (status, kind, error) = api_error(request("rebound.example.com").send().await.unwrap()).await;
    assert_eq!((status, kind.as_str()), (403, "AccessDeniedException"));
    assert!(error.message.contains("'rebound.example.com' is not localhost"), "{error:?}");
    served.end().await;
}

#[tokio::test]
async fn with_a_token_every_route_but_ping_asks_for_it() {
    let folders = Folders::new();
    folders.publish("m.tar.gz", "embed", 4);
    let served = Served::start_with(HostOptions { token: Some(token()), ..options(&folders, UNLIMITED) }).await;
    let request = || served.post("m.tar.gz").header(HOST, "models.example.com").body(embed_request().to_string());
    let signature = format!("AWS4-HMAC-SHA256 Credential={SECRET}/20261201/x/sagemaker/aws4_request, Signature=0");
    for authorization in [format!("Bearer {SECRET}"), signature] {
        assert_eq!(request().header(AUTHORIZATION, authorization).send().await.unwrap().status(), 200);
    }
    let (status, kind, _) = api_error(request().send().await.unwrap()).await;
    assert_eq!((status, kind.as_str()), (403, "MissingAuthenticationTokenException"));
    for wrong in ["Bearer 0123456789abcdeF", "Bearer 0123456789abcde", "Basic 0123456789abcdef", "Bearer", ""] {
        let (status, kind, error) = api_error(request().header(AUTHORIZATION, wrong).send().await.unwrap()).await;
        assert_eq!((status, kind.as_str()), (403, "UnrecognizedClientException"), "{wrong}");
        assert!(!format!("{error:?}").contains(SECRET));
    }
    for route in ["metrics", "planforge/state", "endpoints/e/state", "nowhere"] {
        let response = served.client.get(format!("http://{}/{route}", served.address)).send().await.unwrap();
        assert_eq!(response.status(), 403, "{route}");
    }
    let ping = served.client.get(format!("http://{}/ping", served.address)).send().await.unwrap();
    assert_eq!(ping.status(), 200);
    served.end().await;
}

#[tokio::test]
async fn an_address_that_others_reach_needs_a_token() {
    let folders = Folders::new();
    let everywhere = || HostOptions { address: "0.0.0.0:0".parse().unwrap(), ..options(&folders, UNLIMITED) };
    let error = Host::bind(everywhere()).await.unwrap_err();
    assert!(matches!(error, Error::NotLoopback { .. }), "{error}");
    assert!(error.hint().unwrap().contains("PLANFORGE_HOST_TOKEN"));
    let error = Front::bind("0.0.0.0:0".parse().unwrap(), None, []).await.unwrap_err();
    assert!(matches!(error, Error::NotLoopback { .. }), "{error}");
}

#[tokio::test]
async fn several_endpoints_have_one_address() {
    let (first_folders, second_folders) = (Folders::new(), Folders::new());
    first_folders.publish("m.tar.gz", "embed", 4);
    second_folders.publish("n.tar.gz", "embed", 4);
    let first = Served::start(&first_folders, UNLIMITED).await;
    let second =
        Served::start_with(HostOptions { endpoint: "f".to_owned(), ..options(&second_folders, UNLIMITED) }).await;
    let backends = [("e".to_owned(), first.address), ("f".to_owned(), second.address)];
    let same = [("e".to_owned(), first.address), ("e".to_owned(), second.address)];
    let error = Front::bind("127.0.0.1:0".parse().unwrap(), None, same).await.unwrap_err();
    assert_eq!(error.to_string(), "two endpoints have the name `e`");
    let front = Front::bind("127.0.0.1:0".parse().unwrap(), None, backends).await.unwrap();
    let address = front.address();
    let (shutdown, ended) = oneshot::channel::<()>();
    let task = tokio::spawn(front.serve(Duration::from_secs(5), async {
        let _ = ended.await;
    }));
    let invoke = |endpoint: &str, target_model: &str| {
        let request = first.client.post(format!("http://{address}/endpoints/{endpoint}/invocations"));
        request.header(TARGET_MODEL_HEADER, target_model).body(embed_request().to_string()).send()
    };
    for _ in 0..2 {
        for (endpoint, target_model) in [("e", "m.tar.gz"), ("f", "n.tar.gz")] {
            let response = invoke(endpoint, target_model).await.unwrap();
            assert_eq!(response.headers()["x-amzn-invoked-production-variant"], "AllTraffic");
            let answer: Value = response.json().await.unwrap();
            assert_eq!(answer["outputs"][0]["data"][0], 30.0, "{answer}");
        }
    }
    let (status, kind, error) = api_error(invoke("g", "m.tar.gz").await.unwrap()).await;
    assert_eq!((status, kind.as_str()), (400, "ValidationError"));
    assert!(error.message.starts_with("Endpoint g of account"), "{error:?}");
    let (status, _, _) = api_error(invoke("e", "n.tar.gz").await.unwrap()).await;
    assert_eq!(status, 400, "a copy of the other endpoint");
    let get = |route: &str| first.client.get(format!("http://{address}/{route}")).send();
    let state: EndpointState = get("endpoints/f/state").await.unwrap().json().await.unwrap();
    assert_eq!((state.endpoint.as_str(), state.invocations["n.tar.gz"]), ("f", 2));
    let states: Vec<EndpointState> = get("planforge/state").await.unwrap().json().await.unwrap();
    assert_eq!(states.iter().map(|state| state.endpoint.as_str()).collect::<Vec<_>>(), ["e", "f"]);
    let metrics = get("metrics").await.unwrap().text().await.unwrap();
    assert_eq!(metrics.matches("# TYPE planforge_requests counter").count(), 1, "{metrics}");
    for endpoint in ["e", "f"] {
        let line = format!("planforge_requests_total{{endpoint=\"{endpoint}\",outcome=\"200\"}} 2\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert_eq!(metrics.matches("planforge_up{endpoint=").count(), 2, "{metrics}");
    assert_eq!(get("ping").await.unwrap().status(), 200);
    shutdown.send(()).unwrap();
    task.await.unwrap();
    first.end().await;
    second.end().await;
}

#[tokio::test]
async fn an_endpoint_that_is_stuck_is_named_and_hides_no_other() {
    let folders = Folders::new();
    let first = Served::start(&folders, UNLIMITED).await;
    // Connections wait, and no answer comes.
    let stuck = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let backends = [("e".to_owned(), first.address), ("stuck".to_owned(), stuck.local_addr().unwrap())];
    let front = Front::bind("127.0.0.1:0".parse().unwrap(), None, backends).await.unwrap();
    let address = front.address();
    let (shutdown, ended) = oneshot::channel::<()>();
    let task = tokio::spawn(front.serve(Duration::from_secs(1), async {
        let _ = ended.await;
    }));
    let get = |route: &str| first.client.get(format!("http://{address}/{route}")).send();
    let (metrics, state) = tokio::join!(get("metrics"), get("planforge/state"));
    let metrics = metrics.unwrap().text().await.unwrap();
    for line in ["planforge_up{endpoint=\"e\"} 1\n", "planforge_up{endpoint=\"stuck\"} 0\n", "planforge_loaded_models"]
    {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    let (status, _, error) = api_error(state.unwrap()).await;
    assert_eq!(status, 500);
    assert!(error.message.starts_with("Endpoint stuck does not answer"), "{error:?}");
    shutdown.send(()).unwrap();
    task.await.unwrap();
    first.end().await;
}
