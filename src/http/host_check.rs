//! The Host of a request, and the headers of every answer.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::net;

/// Refuses requests by a name that is not this machine's own.
///
/// A page from elsewhere can have its own name lead to a loopback address and then read what is
/// served there as if it were its own; the browser still says which name it asked for.
pub(super) async fn refuse_other_hosts(request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    if host.is_none_or(is_this_machine) {
        return next.run(request).await;
    }
    let why = "Served on a loopback address only: use that address, or localhost.\n";
    (StatusCode::MISDIRECTED_REQUEST, why).into_response()
}

fn is_this_machine(host: &HeaderValue) -> bool {
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    net::is_this_machine(authority.host())
}

/// Nothing is loaded from elsewhere and nothing is kept, but what says itself that it is: a sheet of
/// tiles. The page's own script is run, which may ask this server alone and can make no markup of
/// text.
const HEADERS: [(header::HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

pub(super) async fn harden(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_pass() {
        for host in [
            "localhost",
            "LocalHost:9770",
            "127.0.0.1:9770",
            "127.1.2.3",
            "[::1]:9770",
            "a.localhost",
        ] {
            assert!(is_this_machine(&HeaderValue::from_static(host)), "{host}");
        }
        for host in ["", "example.com", "localhost.example.com", "192.0.2.1", "127.0.0.1.nip.io"] {
            assert!(!is_this_machine(&HeaderValue::from_static(host)), "{host}");
        }
        assert!(!is_this_machine(&HeaderValue::from_bytes(b"\xff").unwrap()));
    }
}
