import { useQuery } from "@connectrpc/connect-query";
import { Button } from "react-aria-components";
import { type ItemFileInfo, ItemFileService } from "../../../gen/content/library/item/v1/item_file_pb.ts";
import { ItemService } from "../../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../../gen/content/v1/library_pb.ts";
import { formatBytes } from "../parts/bytes.tsx";
import { Copyable } from "../parts/copy.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { startDownload, useDownloads } from "./downloads.ts";
import { canWriteFiles, chooseFolder } from "./file-target.ts";

/** An item: its files, and how to get them. */
export default function ItemPage({ id }: { readonly id: string }) {
  const item = useQuery(ItemService.method.get, { libraryItemId: id });
  const files = useQuery(ItemFileService.method.list, { libraryItemId: id });
  const libraryId = item.data?.libraryItem?.libraryId;
  const library = useQuery(
    LibraryService.method.get,
    { libraryId: libraryId ?? "" },
    { enabled: libraryId !== undefined },
  );
  const downloads = useDownloads();
  const error = item.error ?? files.error;
  if (error !== null) return <Problem error={error} />;
  if (item.data?.libraryItem === undefined || files.data === undefined)
    return <Loading label="Loading the item" />;

  const { name = "", type, size, contentVersion, lastModifiedTime, description } = item.data.libraryItem;
  const list = files.data.files;
  const isRunning = downloads.some((download) => download.itemId === id && !download.isOver);
  const download = async () => {
    const folder = canWriteFiles ? await chooseFolder() : undefined;
    if (canWriteFiles && folder === undefined) return;
    startDownload(
      { id, name },
      list.map((file) => ({ name: file.name, size: Number(file.size) })),
      folder,
    );
  };
  return (
    <>
      <PageTitle title={name} />
      {description !== undefined && description !== "" && <p>{description}</p>}
      <dl className="facts">
        <dt>Library</dt>
        <dd>{library.data?.library?.name}</dd>
        <dt>Type</dt>
        <dd>{type}</dd>
        <dt>Size</dt>
        <dd>{formatBytes(size ?? 0n)}</dd>
        <dt>Version</dt>
        <dd>
          <code>{contentVersion}</code>
        </dd>
        <dt>Changed</dt>
        <dd>
          <Time time={lastModifiedTime} />
        </dd>
        <dt>Id</dt>
        <dd>
          <code>{id}</code>
        </dd>
      </dl>
      {list.length === 0 ? (
        <EmptyState title="The item has no files">Put files into its folder.</EmptyState>
      ) : (
        <>
          <Button className="primary" isDisabled={isRunning} onPress={() => void download()}>
            Download
          </Button>
          <p className="fine">
            {canWriteFiles
              ? "Choose a folder. The files are verified; the lease is held until they are there."
              : "Your browser saves the files. Leave this page open: it holds the lease."}
          </p>
          <FileTable files={list} />
          <Commands library={library.data?.library?.name ?? "LIBRARY"} item={name} id={id} />
        </>
      )}
    </>
  );
}

function FileTable({ files }: { readonly files: readonly ItemFileInfo[] }) {
  return (
    <Table label="Files" columns={["File", "Size", "Checksum"]}>
      {files.map(({ name, size, checksumInfo }) => (
        <tr key={name}>
          <th scope="row">{name}</th>
          <td>{formatBytes(size)}</td>
          <td>
            <code>{checksumInfo?.checksum ?? "–"}</code>
          </td>
        </tr>
      ))}
    </Table>
  );
}

/** The same download from a terminal. */
function Commands({
  library,
  item,
  id,
}: {
  readonly library: string;
  readonly item: string;
  readonly id: string;
}) {
  const { origin, host, protocol } = location;
  const insecure = protocol === "http:" ? "http://" : "https://";
  const path = quoted(`${library}/${item}`);
  const create = quoted(JSON.stringify({ library_item_id: id }));
  return (
    <section>
      <h2>From a terminal</h2>
      <Copyable label="the command for downlease" text={`downlease get ${path} --server ${origin}`} />
      <Copyable
        label="the command for govc"
        text={`GOVC_URL=${insecure}${host} govc library.export ${quoted(`/${library}/${item}`)} .`}
      />
      <Copyable
        label="the command for curl, which creates a session"
        text={`curl -H 'content-type: application/json' -d ${create} ${origin}/api/content/library/item/download-session`}
      />
    </section>
  );
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./:-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
