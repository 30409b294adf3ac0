//! What a layer hands on as it is.

/// `forward!(inner: head, get);` within an `impl` makes those methods, which ask `self.inner` the same. They return
/// its future as it is, so that a layer that does nothing costs nothing.
macro_rules! forward {
    ($inner:ident: $($method:ident),+) => { $(forward!(@$method $inner);)+ };
    (@head $inner:ident) => {
        forward!(@async $inner head(key: &'life1 $crate::object::Key) -> $crate::object::ObjectMeta);
    };
    (@get $inner:ident) => {
        forward!(@async $inner get(request: $crate::store::GetObject<'life1>) -> $crate::store::Content);
    };
    (@list $inner:ident) => {
        forward!(@async $inner list(request: &'life1 $crate::store::ListRequest) -> $crate::store::ListPage);
    };
    (@put $inner:ident) => {
        forward!(@async $inner put(request: $crate::store::PutObject<'life1>) -> $crate::object::Written);
    };
    (@copy $inner:ident) => {
        forward!(@async $inner copy(request: $crate::store::CopyObject<'life1>) -> $crate::object::Written);
    };
    (@delete $inner:ident) => {
        forward!(@async $inner delete(
            key: &'life1 $crate::object::Key, condition: &'life2 $crate::object::Condition
        ) -> ());
    };
    (@delete_many $inner:ident) => {
        forward!(@async $inner delete_many(
            objects: &'life1 [$crate::object::DeleteTarget]
        ) -> Vec<($crate::object::Key, $crate::store::StoreError)>);
    };
    (@attributes $inner:ident) => {
        forward!(@async $inner attributes(
            key: &'life1 $crate::object::Key, version: &'life2 $crate::object::ETag
        ) -> $crate::object::Attributes);
    };
    (@create_upload $inner:ident) => {
        forward!(@async $inner create_upload(
            key: &'life1 $crate::object::Key, attributes: &'life2 $crate::object::Attributes
        ) -> $crate::store::Upload);
    };
    (@upload_part $inner:ident) => {
        forward!(@async $inner upload_part(request: $crate::store::UploadPart<'life1>) -> $crate::store::Part);
    };
    (@copy_part $inner:ident) => {
        forward!(@async $inner copy_part(request: $crate::store::CopyPart<'life1>) -> $crate::store::Part);
    };
    (@complete_upload $inner:ident) => {
        forward!(@async $inner complete_upload(
            request: $crate::store::CompleteUpload<'life1>
        ) -> $crate::object::Written);
    };
    (@abort_upload $inner:ident) => {
        forward!(@async $inner abort_upload(upload: &'life1 $crate::store::Upload) -> ());
    };
    (@list_uploads $inner:ident) => {
        forward!(@async $inner list_uploads(key: &'life1 $crate::object::Key) -> Vec<$crate::store::Upload>);
    };
    (@list_parts $inner:ident) => {
        forward!(@async $inner list_parts(request: $crate::store::ListParts<'life1>) -> $crate::store::PartsPage);
    };
    (@foresee $inner:ident) => {
        forward!(@boxed $inner foresee(copies: &'life1 [$crate::store::Foreseen]) -> ());
    };
    (@address $inner:ident) => {
        fn address(&self, key: &$crate::object::Key) -> $crate::object::ObjectAddress {
            self.$inner.address(key)
        }
    };
    (@async $inner:ident $method:ident($($name:ident: $kind:ty),+) -> $answer:ty) => {
        forward!(@boxed $inner $method($($name: $kind),+) -> $crate::store::StoreResult<$answer>);
    };
    // As `async_trait` writes it, with one borrowed argument or two.
    (@boxed $inner:ident $method:ident($one:ident: $first:ty) -> $answer:ty) => {
        fn $method<'life0, 'life1, 'async_trait>(
            &'life0 self,
            $one: $first,
        ) -> std::pin::Pin<Box<dyn Future<Output = $answer> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            Self: 'async_trait,
        {
            self.$inner.$method($one)
        }
    };
    (@boxed $inner:ident $method:ident($one:ident: $first:ty, $other:ident: $second:ty) -> $answer:ty) => {
        fn $method<'life0, 'life1, 'life2, 'async_trait>(
            &'life0 self,
            $one: $first,
            $other: $second,
        ) -> std::pin::Pin<Box<dyn Future<Output = $answer> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            'life2: 'async_trait,
            Self: 'async_trait,
        {
            self.$inner.$method($one, $other)
        }
    };
}
