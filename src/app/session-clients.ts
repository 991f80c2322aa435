import type { ClientAddressOf } from "../calls/client-address.ts";
import { SessionClients } from "../calls/session-clients.ts";
import type { Backend } from "../domain/backend.ts";

/** Follows the addresses of sessions' clients into the store, until what was opened is closed. */
export function openSessionClients(
  { sessionRecords }: Backend,
  clientAddressOf: ClientAddressOf,
  opened: AsyncDisposableStack,
): SessionClients {
  const record = (addresses: ReadonlyMap<string, string>) => sessionRecords.recordClients(addresses);
  return opened.adopt(new SessionClients({ clientAddressOf, record }), (clients) => clients.close());
}
