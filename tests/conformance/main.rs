//! What the pure floors make of messages, filed by the section of the RFC that decides it.

mod nginx_headers;
mod nginx_real_ip;
mod parsed;
mod proxy_protocol;
mod rfc6454_origin;
mod rfc6455_4_2_1_client_handshake;
mod rfc6455_4_2_2_server_handshake;
mod rfc7239_forwarded;
mod rfc8441_4_extended_connect;
mod rfc8441_5_websocket;
mod rfc9110_5_3_singletons;
mod rfc9110_5_6_1_lists;
mod rfc9110_7_6_1_connection;
mod rfc9110_7_8_upgrade;
mod rfc9112_2_2_message_parsing;
mod rfc9112_2_3_http_version;
mod rfc9112_3_2_request_target;
mod rfc9112_3_request_line;
mod rfc9112_4_status_line;
mod rfc9112_5_field_syntax;
mod rfc9112_6_framing;
mod rfc9112_7_1_chunked;
mod rfc9113_8_2_fields;
mod rfc9220_http3;
mod rfc9931_declined;
mod size_limits;
