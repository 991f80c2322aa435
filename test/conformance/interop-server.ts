/**
 * The server that the client of gRPC's interoperability tests calls; prints its port. Arguments: the types of the tests,
 * and what takes the fast lane: `nothing`, `calls`, or `streams` as well.
 */
import { InteropService } from "./interop-service.ts";
import { readTypes, startSuiteServer } from "./suite-server.ts";

const [typesPath = "", taken] = process.argv.slice(2);
const service = new InteropService(readTypes(typesPath));
const withStream = taken === "streams";
const { port } = await startSuiteServer({
  fastLane: taken !== "nothing",
  operations: service.operations({ withStream }),
  routes: (router) => service.addRoutes(router, { withStream }),
});
process.stdout.write(`${port}\n`);
