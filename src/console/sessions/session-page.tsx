export default function SessionPage({ id }: { readonly id: string }) {
  return <h1>Session {id}</h1>;
}
