import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { eventually } from "../support/eventually.ts";
import { interopClient, interopTypes, reasonAgainstTools } from "../support/peer-tools.ts";
import { startProcess } from "../support/process.ts";

const server = resolve(import.meta.dirname, "../conformance/interop-server.ts");
const reason = reasonAgainstTools([interopClient, interopTypes]);

const ofStreams = [
  "ping_pong",
  "empty_stream",
  "timeout_on_sleeping_server",
  "cancel_after_begin",
  "cancel_after_first_response",
];
/** Those that need no credentials of others, nor load balancing by the client. */
const all = [
  ...["empty_unary", "large_unary", "client_streaming", "server_streaming", ...ofStreams],
  ...["status_code_and_message", "special_status_message", "custom_metadata"],
  ...["unimplemented_method", "unimplemented_service", "rpc_soak", "channel_soak"],
];

/** A stream on the fast lane has neither metadata nor errors of its own, so it can't be asked for them. */
const cases = { nothing: all, calls: all, streams: ofStreams };

describe("grpc-go's interoperability tests", () => {
  for (const [taken, names] of Object.entries(cases)) {
    const name = `pass when the fast lane takes ${taken}`;
    if (reason !== undefined) {
      test.skip(`${name} (skipped: ${reason})`);
      continue;
    }
    test(name, async () => {
      const service = await startProcess(process.execPath, [server, interopTypes.path, taken]);
      try {
        await eventually("the port", () => service.stdout.endsWith("\n"), { withinMs: 15_000 });
        const address = ["-server_host", "127.0.0.1", "-server_port", service.stdout.trim()];
        for (const each of names) {
          const client = await startProcess(interopClient.path, [...address, "-test_case", each]);
          expect(await client.exited, `${each}: ${client.stderr}`).toMatchObject({ code: 0 });
        }
      } finally {
        await service.kill();
      }
    });
  }
});
