/** A stock Connect server over the same interface, one EVALSHA a call; `--http1` for HTTP/1.1. */
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { hasFlag, keepAlive, port } from "./redis.ts";

const handler = connectNodeAdapter({
  routes: (router: ConnectRouter) => {
    router.service(DownloadSessionService, {
      async keepAlive({ downloadSessionId, progress }) {
        const percent = progress === undefined ? undefined : Number(progress);
        if (!(await keepAlive(downloadSessionId, percent)))
          throw new ConnectError("not found", Code.NotFound);
        return { expirationTime: { seconds: 1_700_000_000n, nanos: 123_000_000 }, clientProgress: 10n };
      },
    });
  },
});
const server = hasFlag("--http1") ? createHttp1Server(handler) : createHttp2Server(handler);
server.listen(port, "127.0.0.1");
