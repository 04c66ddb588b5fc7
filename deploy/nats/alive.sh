#!/bin/sh
# Whether nats-server can go on: exit 0 when it stores, 1 while it does not answer or recovers, 2 after a failed write. After that (a full
# disk) it stores nothing more until it is started again, so what runs it ends it on exit 2. Needs sh, nc and grep, as its image has them.
said=$(printf 'GET /healthz HTTP/1.0\r\n\r\n' | nc -w 3 127.0.0.1 "${1:-8222}" 2>/dev/null)
if echo "$said" | grep -q 'write error'; then
  echo "a write failed; nats-server stores nothing more until it is started again"
  exit 2
fi
echo "$said" | grep -q '"status":"ok"'
