"""The server's end of the guest protocol (docs/guest-protocol.md): nothing that arrives here is believed."""
