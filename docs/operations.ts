/** Every operation on every protocol: docs/rest.md shows them, and a test calls each row. */
import { type DescMethod, type DescService, hasOption } from "@bufbuild/protobuf";
import { SessionService } from "../gen/cis/v1/session_pb.ts";
import { FileService } from "../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionService } from "../gen/content/library/item/v1/download_session_pb.ts";
import { ItemFileService } from "../gen/content/library/item/v1/item_file_pb.ts";
import { ItemStorageService } from "../gen/content/library/item/v1/item_storage_pb.ts";
import { UpdateSessionService } from "../gen/content/library/item/v1/update_session_pb.ts";
import { ItemService } from "../gen/content/library/v1/item_pb.ts";
import { SubscriptionsService } from "../gen/content/library/v1/subscriptions_pb.ts";
import { ConfigurationService } from "../gen/content/v1/configuration_pb.ts";
import { LibraryService } from "../gen/content/v1/library_pb.ts";
import { LocalLibraryService } from "../gen/content/v1/local_library_pb.ts";
import { SecurityPoliciesService } from "../gen/content/v1/security_policies_pb.ts";
import { SubscribedLibraryService } from "../gen/content/v1/subscribed_library_pb.ts";
import { TrustedCertificatesService } from "../gen/content/v1/trusted_certificates_pb.ts";
import { TypeService } from "../gen/content/v1/type_pb.ts";
import { AdminService } from "../gen/downlease/admin/v1/admin_pb.ts";
import { OperationAuthenticationService } from "../gen/vapi/metadata/authentication/v1/authentication_pb.ts";
import {
  ComponentMetamodelService,
  EnumerationMetamodelService,
  OperationMetamodelService,
  PackageMetamodelService,
  ServiceMetamodelService,
  StructureMetamodelService,
} from "../gen/vapi/metadata/metamodel/v1/metamodel_pb.ts";
import {
  OperationIntrospectionService,
  ProviderIntrospectionService,
  ServiceIntrospectionService,
} from "../gen/vapi/std/introspection/v1/introspection_pb.ts";
import { operation as operationOption } from "../gen/vapi/v1/options_pb.ts";
import { errorKinds, httpStatusOf } from "../src/domain/errors.ts";
import { type Dialect, dialects } from "../src/protocols/vapi/dialects.ts";
import {
  type OperationOptions,
  optionsOf,
  type Route,
  templateOf,
} from "../src/protocols/vapi/operation-options.ts";

/** The vAPI services that are served. */
export const services: readonly DescService[] = [
  DownloadSessionService,
  FileService,
  SessionService,
  LibraryService,
  ItemService,
  ItemFileService,
  ConfigurationService,
  ItemStorageService,
  LocalLibraryService,
  SubscribedLibraryService,
  SubscriptionsService,
  UpdateSessionService,
  TypeService,
  SecurityPoliciesService,
  TrustedCertificatesService,
  ProviderIntrospectionService,
  ServiceIntrospectionService,
  OperationIntrospectionService,
  OperationAuthenticationService,
  ComponentMetamodelService,
  PackageMetamodelService,
  ServiceMetamodelService,
  OperationMetamodelService,
  StructureMetamodelService,
  EnumerationMetamodelService,
  AdminService,
];

/** One way to call an operation. */
export type OperationRow = {
  readonly method: DescMethod;
  readonly options: OperationOptions;
} & (
  | { readonly protocol: "REST"; readonly dialect: Dialect; readonly route: Route }
  | { readonly protocol: "JSON-RPC" }
  | { readonly protocol: "RPC" }
);

export function operationRows(): OperationRow[] {
  return services
    .flatMap(({ methods }) => methods)
    .filter((method) => hasOption(method, operationOption))
    .flatMap((method): OperationRow[] => {
      const options = optionsOf(method);
      return [
        ...dialects.flatMap((dialect) =>
          options.routes[dialect.routes].map((route) => ({
            method,
            options,
            protocol: "REST" as const,
            dialect,
            route,
          })),
        ),
        { method, options, protocol: "JSON-RPC" },
        { method, options, protocol: "RPC" },
      ];
    });
}

/** Where the fields of a request go on a route, by their names. */
export interface Placement {
  readonly path: readonly string[];
  readonly headers: Route["headers"];
  readonly query: readonly string[];
  /** The field that the body is, or the fields that are its members. */
  readonly body: string | readonly string[];
}

export function placementOn(route: Route, { input }: DescMethod): Placement {
  const path = route.segments.flatMap(({ variable }) => variable ?? []);
  const elsewhere = new Set([...path, ...route.headers.map(({ field }) => field), route.body]);
  const others = input.fields.map(({ name }) => name).filter((name) => !elsewhere.has(name));
  const isInQuery = route.method === "GET" || route.body !== undefined;
  return {
    path,
    headers: route.headers,
    query: isInQuery ? others : [],
    body: route.body ?? (isInQuery ? [] : others),
  };
}

export const operationHeader = ["operation", "at", "method", "path", "parameters", "success", "errors"];

export function operationCells(row: OperationRow): string[] {
  const { method, options } = row;
  const service = options.serviceId.split(".").slice(-2).join(".");
  const operation = code(`${service}.${options.operationId}`);
  const isVoid = options.result === undefined;
  switch (row.protocol) {
    case "REST": {
      const { dialect, route } = row;
      const { status, action, dispatch } = route;
      const wrapped = JSON.stringify(dialect.wrapResult("…")).replace('"…"', "…");
      const query = action === "" ? "" : `?${dialect.actionParameter}=${action}`;
      return [
        operation,
        dialect.prefixes.map((prefix) => code(prefix || "/")).join(", "),
        route.method,
        code(templateOf(route) + query + (dispatch === undefined ? "" : `?${dispatch}=…`)),
        parametersOf(placementOn(route, method)),
        isVoid ? `${status}` : `${status} ${code(wrapped)}`,
        statusesOf(options, dialect.routes),
      ];
    }
    case "JSON-RPC":
      return [
        operation,
        "JSON-RPC",
        "POST",
        code("/api"),
        `${code(options.serviceId)}, ${code(options.operationId)}`,
        `200 ${code(`{"output":${isVoid ? "null" : "…"}}`)}`,
        options.errors.map((kind) => `200 ${code(errorKinds[kind].vapi)}`).join(", "),
      ];
    case "RPC":
      return [
        operation,
        "RPC",
        "POST",
        code(`/${method.parent.typeName}/${method.name}`),
        code(method.input.name),
        `OK ${code(method.output.name)}`,
        [...new Set(options.errors.map((kind) => code(errorKinds[kind].grpc)))].join(", "),
      ];
  }
}

function parametersOf({ headers, query, body }: Placement): string {
  const names = headers.map(({ name }) => `header ${code(name)}`);
  const members = typeof body === "string" ? body : body.length > 0 && `{${body.join(", ")}}`;
  return [
    ...names,
    ...query.map((name) => `query ${code(name)}`),
    ...(members ? [`body ${code(members)}`] : []),
  ].join(", ");
}

function statusesOf({ errors }: OperationOptions, dialect: "rest" | "api"): string {
  return errors.map((kind) => `${httpStatusOf(kind, dialect)} ${code(errorKinds[kind].vapi)}`).join(", ");
}

function code(text: string): string {
  return `\`${text}\``;
}
