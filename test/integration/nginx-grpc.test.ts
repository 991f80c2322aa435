import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { makeCertificate } from "../support/certificates.ts";
import { eventually } from "../support/eventually.ts";
import { startNginx } from "../support/nginx.ts";
import { startService } from "../support/service.ts";
import { addItem } from "../support/session-files.ts";
import { tempDir } from "../support/temp-dir.ts";

test("gRPC and its streams pass through nginx, with the client's address", async () => {
  await using directory = await tempDir();
  const contentRoot = join(directory.path, "library");
  const itemId = await addItem(contentRoot, { "disk.bin": "content" });
  await using service = await startService([
    ...["--trusted-proxies", "127.0.0.1", "--content-root", contentRoot],
  ]);
  const tls = await makeCertificate(directory.path, "nginx", {
    subject: "/CN=localhost",
    alternativeNames: "IP:127.0.0.1",
  });
  await using nginx = await startNginx({ upstream: `127.0.0.1:${service.port}`, tls });
  const localAddress = "127.0.0.7";
  const nodeOptions = { ca: tls.cert, localAddress };
  const client = createClient(
    DownloadSessionService,
    createGrpcTransport({ baseUrl: nginx.url, nodeOptions }),
  );

  const requestId = randomUUID();
  const headers = { "x-request-id": requestId, "x-forwarded-for": "6.6.6.6", forwarded: "for=6.6.6.6" };
  const { downloadSessionId } = await client.create({ createSpec: { libraryItemId: itemId } }, { headers });
  const line = await eventually("the log of the call", () =>
    service.logs.find((one) => one.requestId === requestId),
  );
  expect(line).toMatchObject({ protocol: "grpc", peer: localAddress });

  // Each beat waits for the answer to the one before it.
  const answers: bigint[] = [];
  async function* beats() {
    for (const progress of [10n, 20n, 30n]) {
      yield { downloadSessionId, progress };
      await eventually("the answer", () => answers.at(-1) === progress);
    }
  }
  for await (const { result } of client.keepAliveStream(beats())) answers.push(result!.clientProgress);
  expect(answers).toEqual([10n, 20n, 30n]);
});
