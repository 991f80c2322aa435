/** Fastify serving the REST driver: a route with the id in the path, a JSON body, one EVALSHA. */
import { fastify } from "fastify";
import { keepAlive, port } from "./redis.ts";

interface KeepAliveRoute {
  Params: { id: string };
  Querystring: { "~action"?: string };
  Body: { progress?: number };
}

const server = fastify();
// A doubled colon is a literal colon, not a parameter.
server.post<KeepAliveRoute>(
  "/rest/com/vmware/content/library/item/download-session/id:::id",
  async (request, reply) => {
    if (request.query["~action"] !== "keep-alive") return reply.code(404).send();
    const renewed = await keepAlive(request.params.id, request.body.progress);
    return reply.code(renewed ? 200 : 404).send();
  },
);
await server.listen({ port, host: "127.0.0.1" });
