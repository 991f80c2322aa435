import { rawConnection } from "./raw-connection.ts";

/** All that a service answers to these bytes until it closes the connection. */
export async function answered(url: string, request: string): Promise<string> {
  using client = await rawConnection(Number(new URL(url).port));
  client.socket.write(request);
  return await client.closed;
}
