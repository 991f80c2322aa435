import { readFileSync } from "node:fs";
import { type DescService, hasOption } from "@bufbuild/protobuf";
import { operation as operationOption } from "../../gen/vapi/v1/options_pb.ts";
import { apiDialect } from "../../src/protocols/vapi/dialects.ts";
import { optionsOf, type Route, templateOf } from "../../src/protocols/vapi/operation-options.ts";
import { services as servedServices } from "../operations.ts";
import { serviceTextOf } from "./comments.ts";
import { ErrorResponses, errorSchema, responseHeaders } from "./errors.ts";
import type { Json } from "./json.ts";
import { type OperationObject, operationOf, type RoutedOperation, together } from "./operations.ts";
import { Schemas } from "./schemas.ts";

/** What may prove the caller, any of which will do. */
const credentials = [{ session: [] }, { bearer: [] }, { certificate: [] }];

const securitySchemes: Json = {
  session: {
    type: "apiKey",
    in: "header",
    name: "vmware-api-session-id",
    description:
      "The identifier of a login session, which `POST /api/session` opens. Browsers may send it as a cookie of this name.",
  },
  bearer: {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description: "A token of the issuer that the service trusts (`--jwt-jwks`).",
  },
  password: {
    type: "http",
    scheme: "basic",
    description: "Name and password of a user (`--users-file`), only to open a login session.",
  },
  certificate: { type: "mutualTLS", description: "A client certificate (`--mtls-ca`)." },
};

const about = `The \`/api\` dialect of VMware's REST, and the administration of the service below \`/api/downlease\`.

**Results** are bare, members that are unset are left out, and numbers of 64 bits are JSON numbers.
Results may have further members with another release.

**Requests** with unknown members are refused with 400, unless the value of the member is \`null\`; \`null\` stands for unset everywhere, and numbers may be texts.
Unknown query parameters are ignored.
A method or an action that a path does not have is answered with 404, as in vSphere.

**Actions**: operations that share a path and a method are distinguished by the query parameter \`action\`, which is a part of the path here, as in VMware's own documents.

**Credentials** are not needed, and do not count, while the service authenticates nobody (\`--auth none\`).

**Errors** have the form of \`Error\`.
Requests that break HTTP itself are answered with 400, 408, 413 or 431 without it.

The same operations are served over gRPC, gRPC-Web, Connect, vAPI JSON-RPC and the older dialects of REST.`;

/**
 * The OpenAPI document of all operations with routes of `/api`.
 *
 * @param services with their comments
 */
export function openApiOf(services: readonly DescService[]): Json {
  const routed = inOrder(services).map((service) => [service, routesOf(service)] as const);
  const operations = routed.flatMap(([, rows]) => rows);
  const schemas = new Schemas(operations.flatMap(({ options }) => options.result ?? []));
  const errors = new ErrorResponses();
  const paths = pathsOf(operations, (row) => operationOf(row, { schemas, errors }));
  const tags = routed
    .filter(([, rows]) => rows.length > 0)
    .map(([service, rows]) => ({ name: rows[0]!.options.serviceId, description: serviceTextOf(service) }));
  const { version, license } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  return {
    openapi: "3.1.0",
    info: {
      title: "downlease",
      version,
      description: about,
      license: { name: license, identifier: license },
    },
    security: credentials,
    tags,
    paths,
    components: {
      schemas: { ...schemas.all, Error: errorSchema },
      responses: errors.shared,
      headers: responseHeaders,
      securitySchemes,
    },
  };
}

/** In the order of the documentation. */
function inOrder(services: readonly DescService[]): DescService[] {
  const names = servedServices.map(({ typeName }) => typeName);
  return services
    .filter(({ typeName }) => names.includes(typeName))
    .sort((a, b) => names.indexOf(a.typeName) - names.indexOf(b.typeName));
}

function routesOf(service: DescService): RoutedOperation[] {
  return service.methods
    .filter((method) => hasOption(method, operationOption))
    .flatMap((method) => {
      const options = optionsOf(method);
      return options.routes.api.map((route) => ({ method, options, route }));
    });
}

/** The key of a route in `paths`. */
export function pathOf(route: Route): string {
  const action = route.action === "" ? "" : `?${apiDialect.actionParameter}=${route.action}`;
  return `${apiDialect.prefixes[0]}${templateOf(route)}${action}`;
}

function pathsOf(
  operations: readonly RoutedOperation[],
  describe: (row: RoutedOperation) => OperationObject,
): Json {
  const paths: Record<string, Record<string, OperationObject>> = {};
  // One that a query parameter selects comes after the one without.
  const sorted = operations.toSorted(
    (a, b) => Number(a.route.dispatch !== undefined) - Number(b.route.dispatch !== undefined),
  );
  for (const row of operations) paths[pathOf(row.route)] = {};
  for (const row of sorted) {
    const { method, dispatch } = row.route;
    const item = paths[pathOf(row.route)]!;
    const plain = item[method.toLowerCase()];
    const described = describe(row);
    item[method.toLowerCase()] =
      plain === undefined || dispatch === undefined ? described : together(plain, described, dispatch);
  }
  return paths;
}
