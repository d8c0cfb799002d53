//! A server behind TLS on loopback: a new certificate for `localhost` and no other name.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
};

/// Largest request to read, in bytes.
const REQUEST_BYTES: usize = 4_096;

/// Serves one request per connection. `answer` gets the request, and returns the whole response. Returns the
/// certificate as PEM.
pub(crate) fn serve_tls(
    listener: TcpListener,
    mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static,
) -> String {
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(issued.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap().with_no_client_auth();
    let config = Arc::new(builder.with_single_cert(vec![issued.cert.der().clone()], key).unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut tls, &mut stream);
            let mut request = [0; REQUEST_BYTES];
            // A client that distrusts the certificate ends the handshake.
            let Ok(read) = tls.read(&mut request) else { continue };
            let _ = tls.write_all(&answer(&String::from_utf8_lossy(&request[..read])));
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    issued.cert.pem()
}
