import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { DownloadSessionService } from "../../gen/content/library/item/v1/download_session_pb.ts";
import {
  ChecksumInfo_ChecksumAlgorithm,
  ItemFileService,
} from "../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../gen/content/v1/library_pb.ts";

export interface HostileServer extends AsyncDisposable {
  readonly url: string;
}

/** A server of one library with one item, one file and one session, all of which have this name. */
export async function startHostileServer(name: string): Promise<HostileServer> {
  return startServer((router) => {
    const library = { id: name, name, description: name };
    const item = { id: name, name, libraryId: name, type: name, description: name, contentVersion: name };
    const file = {
      name,
      size: 1n,
      checksumInfo: { algorithm: ChecksumInfo_ChecksumAlgorithm.SHA256, checksum: name },
    };
    router.service(LibraryService, {
      list: () => ({ libraryIds: [name] }),
      get: () => ({ library }),
      find: () => ({ libraryIds: [name] }),
    });
    router.service(ItemService, {
      list: () => ({ libraryItemIds: [name] }),
      get: () => ({ libraryItem: item }),
      find: () => ({ libraryItemIds: [name] }),
    });
    router.service(ItemFileService, { list: () => ({ files: [file] }) });
    router.service(DownloadSessionService, {
      list: () => ({ downloadSessionIds: [name] }),
      get: () => ({
        downloadSession: {
          libraryItemId: name,
          libraryItemContentVersion: name,
          state: 3,
          errorMessage: { id: name, defaultMessage: name },
        },
      }),
      cancel: () => {
        throw new Error(name);
      },
    });
  });
}

/** Serves the given Connect services on a free loopback port. */
export async function startServer(routes: (router: ConnectRouter) => void): Promise<HostileServer> {
  const server = createServer(connectNodeAdapter({ routes }));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
