export default function ItemPage({ id }: { readonly id: string }) {
  return <h1>Item {id}</h1>;
}
