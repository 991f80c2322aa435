/** A stock @grpc/grpc-js server over the same interface, one EVALSHA a call. */
import { fileURLToPath } from "node:url";
import {
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { keepAlive, port } from "./redis.ts";

type KeepAliveRequest = { download_session_id: string; progress?: number };

const protos = fileURLToPath(new URL("../../proto", import.meta.url));
const definition = loadSync("content/library/item/v1/download_session.proto", {
  includeDirs: [protos],
  keepCase: true,
  longs: Number,
});
const service = definition["content.library.item.v1.DownloadSessionService"] as ServiceDefinition;
loadPackageDefinition(definition);

const server = new Server();
server.addService(service, {
  async KeepAlive(call: ServerUnaryCall<KeepAliveRequest, object>, respond: sendUnaryData<object>) {
    if (await keepAlive(call.request.download_session_id, call.request.progress)) {
      respond(null, { expiration_time: { seconds: 1_700_000_000, nanos: 0 }, client_progress: 10 });
    } else respond({ code: status.NOT_FOUND, details: "not found" });
  },
});
server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error;
});
