//! What a layer hands on as it is.

/// `forward!(inner: head, get);` within an `impl` makes those methods, which ask `self.inner` the same. They return
/// its future as it is, so that a layer that does nothing costs nothing.
macro_rules! forward {
    ($inner:ident: $($method:ident),+) => { $(forward!(@$method $inner);)+ };
    (@head $inner:ident) => {
        forward!(@async $inner head(key: &'life1 Key) -> ObjectMeta);
    };
    (@list $inner:ident) => {
        forward!(@async $inner list(request: &'life1 ListRequest) -> ListPage);
    };
    (@abort_upload $inner:ident) => {
        forward!(@async $inner abort_upload(upload: &'life1 Upload) -> ());
    };
    (@list_uploads $inner:ident) => {
        forward!(@async $inner list_uploads(key: &'life1 Key) -> Vec<Upload>);
    };
    (@upload_part $inner:ident) => {
        forward!(@async $inner upload_part(upload: &'life1 Upload, number: u32, body: Payload) -> Part);
    };
    (@attributes $inner:ident) => {
        forward!(@async2 $inner attributes(key: &'life1 Key, version: &'life2 ETag) -> Attributes);
    };
    (@create_upload $inner:ident) => {
        forward!(@async2 $inner create_upload(key: &'life1 Key, attributes: &'life2 Attributes) -> Upload);
    };
    (@get $inner:ident) => {
        forward!(@async2 $inner get(
            key: &'life1 Key, range: Option<ByteRange>, condition: &'life2 ReadCondition
        ) -> Content);
    };
    (@copy_part $inner:ident) => {
        forward!(@async2 $inner copy_part(
            upload: &'life1 Upload, number: u32, source: &'life2 CopySource, range: ByteRange
        ) -> Part);
    };
    (@delete $inner:ident) => {
        forward!(@async2 $inner delete(key: &'life1 Key, condition: &'life2 Condition) -> ());
    };
    (@delete_many $inner:ident) => {
        forward!(@async $inner delete_many(objects: &'life1 [DeleteTarget]) -> Vec<(Key, StoreError)>);
    };
    (@put $inner:ident) => {
        forward!(@async3 $inner put(
            key: &'life1 Key, body: Payload, attributes: &'life2 Attributes, condition: &'life3 Condition
        ) -> Written);
    };
    (@copy $inner:ident) => {
        forward!(@async3 $inner copy(
            source: &'life1 CopySource, to: &'life2 Key, condition: &'life3 Condition
        ) -> Written);
    };
    (@complete_upload $inner:ident) => {
        forward!(@async3 $inner complete_upload(
            upload: &'life1 Upload, parts: &'life2 [Part], size: u64, condition: &'life3 Condition
        ) -> Written);
    };
    (@foresee $inner:ident) => {
        fn foresee<'life0, 'life1, 'async_trait>(
            &'life0 self,
            copies: &'life1 [Foreseen],
        ) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            Self: 'async_trait,
        {
            self.$inner.foresee(copies)
        }
    };
    (@address $inner:ident) => {
        fn address(&self, key: &Key) -> ObjectAddress {
            self.$inner.address(key)
        }
    };
    // As `async_trait` writes them: with one to three borrowed arguments.
    (@async $inner:ident $method:ident($($name:ident: $kind:ty),+) -> $answer:ty) => {
        fn $method<'life0, 'life1, 'async_trait>(
            &'life0 self,
            $($name: $kind),+
        ) -> std::pin::Pin<Box<dyn Future<Output = StoreResult<$answer>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            Self: 'async_trait,
        {
            self.$inner.$method($($name),+)
        }
    };
    (@async2 $inner:ident $method:ident($($name:ident: $kind:ty),+) -> $answer:ty) => {
        fn $method<'life0, 'life1, 'life2, 'async_trait>(
            &'life0 self,
            $($name: $kind),+
        ) -> std::pin::Pin<Box<dyn Future<Output = StoreResult<$answer>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            'life2: 'async_trait,
            Self: 'async_trait,
        {
            self.$inner.$method($($name),+)
        }
    };
    (@async3 $inner:ident $method:ident($($name:ident: $kind:ty),+) -> $answer:ty) => {
        fn $method<'life0, 'life1, 'life2, 'life3, 'async_trait>(
            &'life0 self,
            $($name: $kind),+
        ) -> std::pin::Pin<Box<dyn Future<Output = StoreResult<$answer>> + Send + 'async_trait>>
        where
            'life0: 'async_trait,
            'life1: 'async_trait,
            'life2: 'async_trait,
            'life3: 'async_trait,
            Self: 'async_trait,
        {
            self.$inner.$method($($name),+)
        }
    };
}
