import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { SessionService } from "../../gen/cis/v1/session_pb.ts";
import { FileService } from "../../gen/content/library/item/downloadsession/v1/file_pb.ts";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import { ItemFileService } from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";
import { AdminService } from "../../gen/downlease/admin/v1/admin_pb.ts";
import type { Credentials } from "./credentials.ts";
import { LoginSession, withLoginSession } from "./login-session.ts";

/** A client for each service of a server. Calls reject with a `ConnectError`. */
export interface ServiceClients {
  readonly sessions: Client<typeof DownloadSessionService>;
  readonly files: Client<typeof FileService>;
  readonly libraries: Client<typeof LibraryService>;
  readonly items: Client<typeof ItemService>;
  readonly itemFiles: Client<typeof ItemFileService>;
  readonly logins: Client<typeof SessionService>;
  /** For operators of the service. */
  readonly admin: Client<typeof AdminService>;
}

/** Clients that send the credentials with each call. */
export interface OpenedClients {
  readonly clients: ServiceClients;
  /** Closes the login session, if the clients have opened one. */
  logOut(): Promise<void>;
}

/** Creates the clients. Nothing is sent before the first call. @param transportWith the way to the server */
export function openClients(
  transportWith: (interceptors: Interceptor[]) => Transport,
  { token, user, password, loginSessionId }: Credentials,
): OpenedClients {
  const login =
    user === undefined || password === undefined
      ? undefined
      : new LoginSession(createClient(SessionService, transportWith([])), { user, password });
  const transport = transportWith([
    ...(token === undefined ? [] : [withToken(token)]),
    ...(login === undefined ? [] : [login.interceptor]),
    ...(loginSessionId === undefined ? [] : [withLoginSession(loginSessionId)]),
  ]);
  return {
    clients: {
      sessions: createClient(DownloadSessionService, transport),
      files: createClient(FileService, transport),
      libraries: createClient(LibraryService, transport),
      items: createClient(ItemService, transport),
      itemFiles: createClient(ItemFileService, transport),
      logins: createClient(SessionService, transport),
      admin: createClient(AdminService, transport),
    },
    async logOut() {
      await login?.close();
    },
  };
}

function withToken(token: string): Interceptor {
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${token}`);
    return next(request);
  };
}
