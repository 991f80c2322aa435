import { createClient } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { Input, Label, SearchField } from "react-aria-components";
import { Link, useSearchParams } from "wouter";
import { ItemService } from "../../../gen/content/library/v1/item_pb.ts";
import { LibraryService } from "../../../gen/content/v1/library_pb.ts";
import { formatBytes } from "../parts/bytes.tsx";
import { EmptyState } from "../parts/empty-state.tsx";
import { Loading } from "../parts/loading.tsx";
import { PageTitle } from "../parts/page-title.tsx";
import { Problem } from "../parts/problem.tsx";
import { Table } from "../parts/table.tsx";
import { Time } from "../parts/time.tsx";
import { transport } from "../shell/transport.ts";

const libraries = createClient(LibraryService, transport);
const items = createClient(ItemService, transport);

/** Every library with its items. */
async function readLibraries() {
  const { libraryIds } = await libraries.list({});
  const found = await Promise.all(
    libraryIds.map(async (libraryId) => {
      const [{ library }, { libraryItemIds }] = await Promise.all([
        libraries.get({ libraryId }),
        items.list({ libraryId }),
      ]);
      const models = await Promise.all(
        libraryItemIds.map(async (libraryItemId) => (await items.get({ libraryItemId })).libraryItem),
      );
      return { library, items: models.filter((item) => item !== undefined) };
    }),
  );
  return found.filter(({ library }) => library !== undefined);
}

/** All libraries and their items; the search is in the address. */
export default function LibrariesPage() {
  const [params, setParams] = useSearchParams();
  const search = params.get("search") ?? "";
  const { data, error } = useQuery({
    queryKey: ["libraries"],
    queryFn: readLibraries,
    refetchInterval: 15_000,
  });
  if (error !== null) return <Problem error={error} />;
  if (data === undefined) return <Loading label="Loading the libraries" />;
  if (data.length === 0) {
    return (
      <EmptyState title="There are no libraries yet">
        Put a folder of files into the content root: <code>LIBRARY/ITEM/file</code>. It is here within
        moments.
      </EmptyState>
    );
  }
  const matches = (text: string | undefined) => text?.toLowerCase().includes(search.toLowerCase()) ?? false;
  return (
    <>
      <PageTitle title="Libraries" />
      <SearchField
        className="search"
        value={search}
        onChange={(value) => setParams(value === "" ? {} : { search: value }, { replace: true })}
      >
        <Label>Search for an item</Label>
        <Input />
      </SearchField>
      {data.map(({ library, items }) => {
        const shown = items.filter(
          (item) => matches(item.name) || matches(item.type) || matches(library?.name),
        );
        return (
          <section key={library?.id}>
            <h2>{library?.name}</h2>
            {shown.length === 0 ? (
              <p className="fine">{items.length === 0 ? "The library has no items." : "Nothing matches."}</p>
            ) : (
              <Table label={`Items of ${library?.name}`} columns={["Item", "Type", "Size", "Changed"]}>
                {shown.map((item) => (
                  <tr key={item.id}>
                    <th scope="row">
                      <Link href={`/items/${encodeURIComponent(item.id ?? "")}`}>{item.name}</Link>
                    </th>
                    <td>{item.type}</td>
                    <td>{formatBytes(item.size ?? 0n)}</td>
                    <td>
                      <Time time={item.lastModifiedTime} />
                    </td>
                  </tr>
                ))}
              </Table>
            )}
          </section>
        );
      })}
    </>
  );
}
